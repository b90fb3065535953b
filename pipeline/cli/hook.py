"""`pipeline hook`: have git tell of commits."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pipeline.base.errors import ConfigError
from pipeline.base.home import Home
from pipeline.triggers.hook import TYPES, GitHooks

_place = click.argument("repository", type=click.Path(path_type=Path), default=".")
_types = click.option(
    "--type", "kinds", multiple=True, type=click.Choice(TYPES), help="Which hooks; the usual ones when not given."
)


@click.group("hook")
def command() -> None:
    """Git hooks that tell `pipeline serve` of commits and pushes, at once and also while it is down."""


@command.command("install")
@_place
@_types
def install(repository: Path, kinds: tuple[str, ...]) -> None:
    """Install hooks in REPOSITORY, a checkout or a bare one. Hooks that are there are kept, and run first."""
    found, home = GitHooks.find(repository), Home.locate()
    for kind in kinds or found.default_types():
        click.echo(f"installed {found.install(kind, home)}")
    if found.bare:
        click.echo("whoever pushes may watch: git push -o follow")


@command.command("uninstall")
@_place
@_types
def uninstall(repository: Path, kinds: tuple[str, ...]) -> None:
    """Take our hooks away, and put back what was there before."""
    found = GitHooks.find(repository)
    removed = [kind for kind in kinds or TYPES if found.uninstall(kind)]
    if not removed:
        raise ConfigError(f"{found.hooks} has no hook of ours")
    click.echo(f"removed {', '.join(removed)}")


@command.command("follow", hidden=True)
def follow() -> None:
    """Show what becomes of the refs on standard input, as git tells them to post-receive."""
    from pipeline.cli.push import follow_push

    follow_push(Home.locate(), sys.stdin.read())

"""`pipeline hook`: git hooks that notify the daemon of commits."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pipeline.base.errors import ConfigError
from pipeline.base.home import Home
from pipeline.triggers.hook import GitHooks
from pipeline.triggers.previous_hook import TYPES

_place = click.argument("repository", type=click.Path(path_type=Path), default=".")
_types = click.option(
    "--type",
    "kinds",
    multiple=True,
    type=click.Choice(TYPES),
    help="Hook to install or remove. Default: the usual ones.",
)


@click.group("hook")
def command() -> None:
    """Manage git hooks that notify `pipeline serve` of commits and pushes, even while it is stopped."""


@command.command("install")
@_place
@_types
def install(repository: Path, kinds: tuple[str, ...]) -> None:
    """Install hooks in REPOSITORY, a checkout or a bare repository. Existing hooks are kept and run first."""
    found = GitHooks.find(repository)
    for path in found.install(kinds or found.default_types(), Home.locate()):
        click.echo(f"installed {path}")
    if found.bare:
        click.echo("follow the run of a push with: git push -o follow")


@command.command("uninstall")
@_place
@_types
def uninstall(repository: Path, kinds: tuple[str, ...]) -> None:
    """Remove Penstock's hooks for REPOSITORY and restore the previous ones."""
    found, home = GitHooks.find(repository), Home.locate()
    removed = [kind for kind in kinds or TYPES if found.uninstall(kind, home)]
    if not removed:
        raise ConfigError(f"{found.hooks} has no hook of Penstock for {found.directory} and {home.root}")
    click.echo(f"removed {', '.join(removed)}")


@command.command("notify")
@_place
def notify(repository: Path) -> None:
    """Notify the daemon of commits in REPOSITORY. For hooks of your own, also while the daemon is stopped."""
    GitHooks.find(repository).notify(Home.locate())


@command.command("follow", hidden=True)
def follow() -> None:
    """Show the runs of the refs on standard input, in the format of git's post-receive hook."""
    from pipeline.cli.push import follow_push

    follow_push(Home.locate(), sys.stdin.read())

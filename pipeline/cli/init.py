"""`pipeline init`: create a first pipeline.yaml."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.base.errors import ConfigError
from pipeline.cli.session import FILE


@click.command("init")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
def command(force: bool) -> None:
    """Create a pipeline.yaml for the project in this directory, with a comment for every key."""
    from pipeline.config.scaffold import detect_project, render_template

    path = Path(FILE)
    if path.exists() and not force:
        raise ConfigError(f"{path} already exists", hint="overwrite it with --force")
    found = detect_project(Path.cwd())
    try:
        path.write_text(render_template(found))
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
    click.echo(f"wrote {path}: {found.name}, branch {found.branch}, port {found.port}, check {found.health_path}")
    for note in found.notes:
        click.echo(f"  note: {note}")
    click.echo("next: commit it, then use `pipeline plan` and `pipeline run`, or `pipeline serve` to run each commit")

"""`pipeline init`: create a first pipeline.yaml."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.base.errors import ConfigError
from pipeline.cli.session import FILE


@click.command("init")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
def command(force: bool) -> None:
    """Create a pipeline.yaml for the project in this directory, with a comment for every key."""
    from pipeline.config.scaffold import SCHEMA_FILE, detect_project, render_template
    from pipeline.config.schema import json_schema

    path = Path(FILE)
    if path.exists() and not force:
        raise ConfigError(f"{path} already exists", hint="overwrite it with --force")
    found = detect_project(Path.cwd())
    try:
        path.write_text(render_template(found))
        Path(SCHEMA_FILE).write_text(json.dumps(json_schema(), indent=1) + "\n")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
    click.echo(f"wrote {path}: {found.name}, branch {found.branch}, port {found.port}, check {found.health_path}")
    for note in found.notes:
        click.echo(f"  note: {note}")
    click.echo(f"  note: {SCHEMA_FILE} lets editors check and complete it; `pipeline schema` prints a newer one")
    click.echo("next: commit it, then use `pipeline plan` and `pipeline run`, or `pipeline serve` to run each commit")

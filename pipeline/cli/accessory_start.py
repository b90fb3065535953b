"""`pipeline accessory start`: start accessories and wait until they are healthy."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.accessory_session import accessory_session
from pipeline.cli.session import json_option, pipeline_options


@click.command("start")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@pipeline_options
@json_option
def command(names: tuple[str, ...], file: Path, parameters: tuple[str, ...], as_json: bool) -> None:
    """Start the accessories NAME, by default all of pipeline.yaml, and wait until they are healthy.

    One that runs stays as it is, also if it differs from pipeline.yaml: see `pipeline accessory upgrade`.
    """
    with accessory_session(file, parameters, as_json=as_json, secrets_needed=True) as opened:
        opened.accessories.start(names or None)
        for line in opened.declared.drift_lines():
            click.echo(line, err=True)
        if not as_json:
            started = ", ".join(names or opened.declared.settings)
            click.echo(f"{started}: running and healthy" if started else "pipeline.yaml has no accessories")

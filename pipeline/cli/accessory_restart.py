"""`pipeline accessory restart`: stop an accessory and start the same container again."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.accessory_session import accessory_session, name_argument
from pipeline.cli.session import json_option, pipeline_options


@click.command("restart")
@name_argument
@pipeline_options
@json_option
def command(name: str, file: Path, parameters: tuple[str, ...], as_json: bool) -> None:
    """Stop the accessory NAME, start the same container again, and wait until it is healthy.

    Changes of pipeline.yaml are not applied: see `pipeline accessory upgrade`.
    """
    with accessory_session(file, parameters, as_json=as_json) as opened:
        opened.accessories.restart(name)
        if not as_json:
            click.echo(f"{name}: running and healthy")

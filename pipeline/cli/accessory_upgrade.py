"""`pipeline accessory upgrade`: replace an accessory's container by one of pipeline.yaml."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.accessory_session import accessory_session, name_argument
from pipeline.cli.session import json_option, pipeline_options


@click.command("upgrade")
@name_argument
@click.option("--discard", is_flag=True, help="Lose what the container keeps in volumes without a name.")
@pipeline_options
@json_option
def command(name: str, discard: bool, file: Path, parameters: tuple[str, ...], as_json: bool) -> None:
    """Pull the image of the accessory NAME, stop its container, and start a new one on the same volumes.

    The accessory does not respond in between. If the new container does not become healthy, the previous one is started
    again. A program that has changed the format of its data may then not read it: make a backup first.
    """
    with accessory_session(file, parameters, as_json=as_json, secrets_needed=True) as opened:
        is_changed = opened.accessories.upgrade(name, discard=discard)
        if not as_json:
            click.echo(f"{name}: running and healthy" if is_changed else f"{name}: nothing to do, it is up to date")

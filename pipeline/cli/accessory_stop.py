"""`pipeline accessory stop`: stop an accessory until it is started again."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.accessory_session import accessory_session, name_argument
from pipeline.cli.session import json_option, pipeline_options


@click.command("stop")
@name_argument
@pipeline_options
@json_option
def command(name: str, file: Path, parameters: tuple[str, ...], as_json: bool) -> None:
    """Stop the accessory NAME. Its container and its data stay.

    It stays stopped after a reboot, and the daemon does not start it. `pipeline accessory start` and the next
    deployment do. An accessory that is not in pipeline.yaml any more is removed, and its named volumes stay.
    """
    with accessory_session(file, parameters, as_json=as_json) as opened:
        opened.accessories.stop(name)
        if not as_json:
            done = "stopped" if name in opened.declared.settings else "removed; its named volumes and backups are kept"
            click.echo(f"{name}: {done}")

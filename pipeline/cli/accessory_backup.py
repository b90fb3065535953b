"""`pipeline accessory backup`: make a backup of an accessory."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.accessory_session import accessory_session, name_argument
from pipeline.cli.session import json_option, pipeline_options


@click.command("backup")
@name_argument
@pipeline_options
@json_option
def command(name: str, file: Path, parameters: tuple[str, ...], as_json: bool) -> None:
    """Run the backup command of the accessory NAME in its container, and keep its output.

    A command that fails or writes nothing leaves no backup. Backups that exceed `keep` are deleted.
    """
    with accessory_session(file, parameters, as_json=as_json) as opened:
        opened.backups.create(name)

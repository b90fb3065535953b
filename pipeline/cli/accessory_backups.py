"""`pipeline accessory backups`: the backups of an accessory."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.accessories.backup_files import BackupFiles
from pipeline.cli.accessory_session import name_argument
from pipeline.cli.output import date, table
from pipeline.cli.session import json_option, pipeline_options, session


@click.command("backups")
@name_argument
@pipeline_options
@json_option
def command(name: str, file: Path, parameters: tuple[str, ...], as_json: bool) -> None:
    """List the complete backups of the accessory NAME, oldest first, and their folder."""
    with session(file, parameters) as opened:
        folder = opened.home.backups(opened.name, name)
    found = BackupFiles(folder).all()
    if as_json:
        click.echo(json.dumps([each.model_dump(mode="json") for each in found]))
        return
    if not found:
        click.echo(f"{name} has no backups")
        return
    table([(each.name, date(each.created_at), f"{each.size:,}", each.image) for each in found], *_HEADER)
    click.echo(f"in {folder}")


_HEADER = ("backup", "made at", "bytes", "image")

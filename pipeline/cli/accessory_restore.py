"""`pipeline accessory restore`: restore a backup of an accessory."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.base.errors import ConfigError
from pipeline.cli.accessory_session import AccessorySession, accessory_session, name_argument
from pipeline.cli.session import json_option, pipeline_options
from pipeline.cli.terminal import is_terminal


@click.command("restore")
@name_argument
@click.argument("backup", required=False)
@click.option("--yes", is_flag=True, help="Do not ask for a confirmation.")
@pipeline_options
@json_option
def command(name: str, backup: str | None, yes: bool, file: Path, parameters: tuple[str, ...], as_json: bool) -> None:
    """Give BACKUP, by default the latest, to the restore command of the accessory NAME.

    The backup is compared with its digest first. The command replaces data, and one that fails may have replaced a
    part of it: stop the services that write, or block their users meanwhile.
    """
    with accessory_session(file, parameters, as_json=as_json) as opened:
        opened.backups.check_restore(name)
        found = opened.backups.files(name).find(backup)
        if not yes:
            _confirm(opened, f"replace the data of {name} by the backup {found.name} of {found.created_at:%Y-%m-%d}?")
        opened.backups.restore(name, found.name)


def _confirm(opened: AccessorySession, question: str) -> None:
    if not is_terminal():
        raise ConfigError("a restore replaces data, and there is no terminal to ask", hint="confirm it with --yes")
    if not click.confirm(f"{opened.context.configuration.pipeline.name}: {question}"):
        raise click.Abort

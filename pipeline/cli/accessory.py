"""`pipeline accessory`: databases, caches and the like beside the services."""

from __future__ import annotations

import click

from pipeline.cli import (
    accessory_backup,
    accessory_backups,
    accessory_exec,
    accessory_list,
    accessory_logs,
    accessory_restart,
    accessory_restore,
    accessory_start,
    accessory_stop,
    accessory_upgrade,
)


@click.group("accessory")
def command() -> None:
    """Start, upgrade and back up the accessories of a pipeline: databases, caches and the like.

    A deployment starts them before the services and replaces none.
    """


for _module in (
    accessory_list,
    accessory_start,
    accessory_stop,
    accessory_restart,
    accessory_upgrade,
    accessory_logs,
    accessory_exec,
    accessory_backup,
    accessory_backups,
    accessory_restore,
):
    command.add_command(_module.command)

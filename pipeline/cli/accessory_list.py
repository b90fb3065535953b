"""`pipeline accessory list`: the accessories of a pipeline, their state and their latest backup."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.base.errors import ConfigError
from pipeline.cli.output import date, table
from pipeline.cli.session import json_option, pipeline_options, session


@click.command("list")
@pipeline_options
@json_option
def command(file: Path, parameters: tuple[str, ...], as_json: bool) -> None:
    """List the accessories: state, image, health, latest backup, and how they differ from pipeline.yaml.

    Changes nothing. Works with an invalid file.
    """
    from pipeline.engine.hosts import local_console
    from pipeline.http.accessory_report import AccessoryReport

    with session(file, parameters) as opened:
        loaded = opened.loaded
        settings = None if isinstance(loaded, ConfigError) else loaded.pipeline.accessories
        containers = local_console(opened.home.id).containers(opened.name)
        report = AccessoryReport.of(opened.home, opened.store, opened.name, settings, containers)
    if as_json:
        click.echo(json.dumps([each.as_data() for each in report.accessories]))
        return
    rows = [
        (
            each.name,
            each.state,
            each.image,
            str(each.health or "-"),
            date(each.last_backup) if each.last_backup else "-",
            each.container or "-",
        )
        for each in report.accessories
    ]
    if rows:
        table(rows, "accessory", "state", "image", "health", "last backup", "container")
    else:
        click.echo(f"{opened.name} has no accessories")
    for line in report.lines:
        click.echo(line)

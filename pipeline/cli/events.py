"""`pipeline events`: list events."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.base.errors import ConfigError
from pipeline.base.whole_number import LARGEST
from pipeline.cli.output import print_event_with_reason, show_json
from pipeline.cli.session import json_option, pipeline_options, session


@click.command("events")
@click.argument("run", type=click.IntRange(1, LARGEST), required=False)
@pipeline_options
@click.option("-n", "count", type=click.IntRange(1, 100_000), default=200, show_default=True, help="Number of events.")
@json_option
def command(run: int | None, file: Path, parameters: tuple[str, ...], count: int, as_json: bool) -> None:
    """List the latest events of the pipeline, or of RUN."""
    with session(file, parameters) as opened:
        if run and opened.store.runs.get(opened.name, run) is None:
            raise ConfigError(f"there is no run {run}", hint="list runs with `pipeline history`")
        for event in opened.store.events.latest(opened.name, run, count):
            (show_json if as_json else print_event_with_reason)(event)

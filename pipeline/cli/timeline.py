"""`pipeline timeline`: what a run did when."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from pipeline.base.errors import ConfigError
from pipeline.base.whole_number import LARGEST
from pipeline.cli.session import Session, json_option, pipeline_options, session
from pipeline.store.records import Run


@click.command("timeline")
@click.argument("run", type=click.IntRange(1, LARGEST), required=False)
@pipeline_options
@json_option
def command(run: int | None, file: Path, parameters: tuple[str, ...], as_json: bool) -> None:
    """Show what RUN did when: its stages, each container from its start to its end, and the number of healthy targets.

    Default: the latest run. It may be in progress.
    """
    from pipeline.cli.timeline_text import timeline_lines
    from pipeline.http.run_timelines import RunTimelines

    with session(file, parameters) as opened:
        found = RunTimelines(opened.store).of(_run(opened, run))
    if as_json:
        click.echo(json.dumps(found.as_data()))
        return
    for line in timeline_lines(found, datetime.now(UTC)):
        click.echo(line)


def _run(opened: Session, number: int | None) -> Run:
    if number is not None:
        found = opened.store.runs.get(opened.name, number)
        if found is None:
            raise ConfigError(f"there is no run {number}", hint="list runs with `pipeline history`")
        return found
    latest = opened.store.runs.latest(opened.name, 1)
    if not latest:
        raise ConfigError(f"{opened.name} has not run yet")
    return latest[0]

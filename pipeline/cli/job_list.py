"""`pipeline job list`: the jobs of the active release."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.cli.output import date, table
from pipeline.cli.session import Session, json_option, pipeline_options, session


@click.command("list")
@pipeline_options
@json_option
def command(file: Path, parameters: tuple[str, ...], as_json: bool) -> None:
    """List the jobs of the active release: the schedule, the next time and the last run."""
    from pipeline.http.job_report import job_responses

    with session(file, parameters) as opened:
        found = job_responses(opened.store, opened.name)
        if as_json:
            click.echo(json.dumps([each.as_data() for each in found]))
            return
        if not found:
            click.echo(_nothing(opened))
            return
    rows = [
        (
            each.name,
            each.schedule,
            each.timezone or "local time",
            date(each.next) if each.next else "-",
            str(each.last_run.number) if each.last_run else "-",
            each.last_run.state.replace("_", " ") if each.last_run else "-",
            date(each.last_run.started_at) if each.last_run else "-",
        )
        for each in found
    ]
    table(rows, "job", "schedule", "timezone", "next", "run", "state", "started")


def _nothing(opened: Session) -> str:
    active = opened.store.releases.active(opened.name)
    return f"release {active.number} of {opened.name} has no jobs" if active else f"{opened.name} has no active release"

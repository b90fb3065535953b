"""`pipeline history`: the latest runs."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.cli.output import date, table
from pipeline.cli.session import json_option, pipeline_options, session


@click.command("history")
@pipeline_options
@click.option("-n", "count", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many.")
@json_option
def command(file: Path, parameters: tuple[str, ...], count: int, as_json: bool) -> None:
    """The latest runs, newest first."""
    with session(file, parameters) as opened:
        runs = opened.store.runs(opened.name, count)
        stages = {run.number: opened.store.stages(opened.name, run.number) for run in runs}
    if as_json:
        data = [{**vars(r), "stages": [vars(s) for s in stages[r.number]]} for r in runs]
        click.echo(json.dumps(data, default=str))
        return
    rows = [
        (
            str(run.number),
            run.kind,
            run.state.replace("_", " "),
            date(run.started_at),
            f"{run.duration.total_seconds():.1f} s",
            str(run.release or ""),
            f"{(run.sha or '')[:7]} {run.subject or ''}".strip(),
        )
        for run in runs
    ]
    table(rows, "run", "kind", "state", "started", "took", "release", "commit")

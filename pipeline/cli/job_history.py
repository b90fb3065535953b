"""`pipeline job history`: the latest runs of jobs."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.cli.output import date, table
from pipeline.cli.session import json_option, pipeline_options, session


@click.command("history")
@click.argument("name", required=False)
@pipeline_options
@click.option(
    "-n", "--count", default=20, type=click.IntRange(min=1, max=10_000), show_default=True, help="Number of runs."
)
@json_option
def command(name: str | None, file: Path, parameters: tuple[str, ...], count: int, as_json: bool) -> None:
    """List the latest runs of jobs, newest first, or those of the job NAME.

    A `failed` run did not exit with 0. A `timed out` one ran longer than its `timeout`. The container of a `lost` one
    was removed, so its end is not known. Times that were skipped are events: see `pipeline events`.
    """
    with session(file, parameters) as opened:
        if name is not None:
            from pipeline.jobs.by_command import check_job

            check_job(opened.store, opened.name, name)
        runs = opened.store.job_runs.latest(opened.name, name, count)
        if as_json:
            from pipeline.http.responses.job import JobRunResponse

            click.echo(json.dumps([JobRunResponse.from_run(run).as_data() for run in runs]))
            return
    rows = [
        (
            str(run.number),
            run.job,
            run.state.replace("_", " "),
            str(run.release),
            date(run.scheduled_for) if run.scheduled_for else "by command",
            date(run.started.wall),
            f"{run.duration.total_seconds():.1f} s",
            run.reason,
        )
        for run in runs
    ]
    table(rows, "run", "job", "state", "release", "scheduled for", "started", "took", "reason")

"""`pipeline history`: the latest runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click

from pipeline.cli.output import date, table
from pipeline.cli.session import json_option, pipeline_options, session
from pipeline.store.records import Run

# So much of a commit's subject is shown, in characters: more stands behind it.
_SUBJECT = 50


@click.command("history")
@pipeline_options
@click.option("-n", "count", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many.")
@json_option
def command(file: Path, parameters: tuple[str, ...], count: int, as_json: bool) -> None:
    """The latest runs, newest first: what became of each commit, and why.

    `queued` waits for its turn; `superseded` was given up for a newer commit; `skipped` had nothing to do, or asked not
    to be run; `interrupted` lost the process that worked on it.
    """
    with session(file, parameters) as opened:
        runs = opened.store.runs.latest(opened.name, count)
        if as_json:
            from pipeline.http.responses import RunResponse

            found = [RunResponse.from_run(run, opened.store.runs.stages(opened.name, run.number)) for run in runs]
            click.echo(json.dumps([run.as_data() for run in found]))
            return
    rows = [
        (
            str(run.number),
            run.kind,
            run.state.replace("_", " "),
            run.trigger,
            date(run.started_at),
            f"{run.duration.total_seconds():.1f} s" if run.attempts else "",
            str(run.release or ""),
            f"{(run.sha or '')[:7]} {run.subject or ''}".strip()[:_SUBJECT],
            "; ".join(_notes(run)),
        )
        for run in runs
    ]
    table(rows, "run", "kind", "state", "trigger", "started", "took", "release", "commit", "note")


def _notes(run: Run) -> Iterator[str]:
    """What else is to be known: why it ended so, or has not begun."""
    if run.waits_for:
        yield f"waits for {run.waits_for}"
    if run.reason != run.state:
        yield from run.reason.splitlines()[:1]
    if run.retry_of:
        yield f"run {run.retry_of} again"
    if run.attempts > 1:
        yield f"begun {run.attempts} times"
    if run.approval and run.approval.granted:
        yield f"approved by {run.approval.by}"

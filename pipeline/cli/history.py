"""`pipeline history`: list the latest runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click

from pipeline.cli.output import date, table
from pipeline.cli.session import json_option, pipeline_options, session
from pipeline.store.records import Run

# In characters of a commit's subject, to leave room for the last column.
_MAX_SUBJECT = 50


@click.command("history")
@pipeline_options
@click.option("-n", "count", type=click.IntRange(1, 1000), default=20, show_default=True, help="Number of runs.")
@json_option
def command(file: Path, parameters: tuple[str, ...], count: int, as_json: bool) -> None:
    """List the latest runs, newest first, with their state and its reason.

    A `queued` run waits for its turn. A `superseded` one was replaced by a newer commit. A `skipped` one had no
    relevant change or a skip mark. An `interrupted` one lost its process. `strategy` says how its deployment moved the
    traffic. `rollback`, `scale` and `restart` always use `rolling`.
    """
    with session(file, parameters) as opened:
        runs = opened.store.runs.latest(opened.name, count)
        strategies = opened.store.deployments.strategies(opened.name, [run.number for run in runs])
        if as_json:
            from pipeline.http.responses.run import HistoryResponse

            found = [
                HistoryResponse.of(run, opened.store.runs.stages(opened.name, run.number), strategies.get(run.number))
                for run in runs
            ]
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
            strategies.get(run.number, ""),
            f"{(run.sha or '')[:7]} {run.subject or ''}".strip()[:_MAX_SUBJECT],
            "; ".join(_notes(run)),
        )
        for run in runs
    ]
    table(rows, "run", "kind", "state", "trigger", "started", "took", "release", "strategy", "commit", "note")


def _notes(run: Run) -> Iterator[str]:
    """Yield the user, the reason of the state, the run that it waits for, and the number of attempts."""
    if run.by:
        yield f"by {run.by}"
    if run.waits_for:
        yield f"waits for {run.waits_for}"
    if run.reason != run.state:
        yield from run.reason.splitlines()[:1]
    if run.retry_of:
        yield f"retry of run {run.retry_of}"
    if run.attempts > 1:
        yield f"started {run.attempts} times"
    if run.approval and run.approval.granted:
        yield f"approved by {run.approval.by}"

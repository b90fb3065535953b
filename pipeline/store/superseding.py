"""Superseded runs: the rule of `order` applied to the rows, within a transaction of the caller."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from pipeline.store.order import Entry, supersedes
from pipeline.store.records import Run, RunKind, RunOptions, RunState, Trigger
from pipeline.store.rows import now, run_from_row

_UNFINISHED = "state IN ('queued', 'running')"
_DEPLOYS = "EXISTS (SELECT 1 FROM stages s WHERE s.pipeline=runs.pipeline AND s.run=runs.number AND s.name='deploy')"

# A process died while the run moved traffic, and the run continues its deployment.
_CONTINUES = """
EXISTS (
  SELECT 1 FROM deployments d JOIN deployment_progress p ON p.pipeline=d.pipeline AND p.deployment=d.id
  WHERE d.pipeline=runs.pipeline AND d.run=runs.number AND d.state='running'
  GROUP BY d.id HAVING sum(p.phase='undo')=0
)
"""


def entries(db: sqlite3.Connection, pipeline: str, condition: str = _UNFINISHED) -> list[Entry]:
    """Return the runs that are not over, or those that meet `condition`, oldest first."""
    columns = f"*, {_DEPLOYS} AS deploys, {_CONTINUES} AS continues"
    rows = db.execute(
        f"SELECT {columns} FROM runs WHERE pipeline=? AND {condition} ORDER BY number",  # noqa: S608
        (pipeline,),
    )
    return [_entry(row) for row in rows]


def _entry(row: sqlite3.Row) -> Entry:
    return Entry(
        number=row["number"],
        kind=RunKind(row["kind"]),
        state=RunState(row["state"]),
        sha=row["sha"],
        direct=row["queued_at"] is None,
        waits=bool(row["waits_for"]),
        deploys=bool(row["deploys"]),
        continues=bool(row["continues"]),
    )


def take_place(db: sqlite3.Connection, pipeline: str, number: int) -> list[Run]:
    """Let a run whose commit is known now replace older ones, or be replaced. Return the queued runs that ended."""
    ended = supersede_older(db, pipeline, number)
    supersede_by_newer(db, pipeline, number)
    run = stored_run(db, pipeline, number)
    return [*ended, run] if run.state is RunState.SUPERSEDED else ended


def supersede_older(db: sqlite3.Connection, pipeline: str, number: int) -> list[Run]:
    """Replace the older runs that a run supersedes. Return those of them that ended."""
    unfinished = entries(db, pipeline)
    newer = next((entry for entry in unfinished if entry.number == number), None)
    older = [entry.number for entry in unfinished if newer and supersedes(newer, entry)]
    return supersede(db, pipeline, older, number)


def supersede_by_newer(db: sqlite3.Connection, pipeline: str, number: int) -> None:
    """Replace a run by the newest run that supersedes it, if there is one."""
    later = entries(db, pipeline, f"number>={number:d}")
    run = next(entry for entry in later if entry.number == number)
    newer = [entry.number for entry in later if supersedes(entry, run)]
    if newer:
        supersede(db, pipeline, [number], newer[-1])


def supersede(db: sqlite3.Connection, pipeline: str, numbers: Sequence[int], by: int) -> list[Run]:
    """End runs that are queued, and mark those that are running: their workers end them. Return those that ended."""
    for number in numbers:
        db.execute("UPDATE runs SET superseded_by=? WHERE pipeline=? AND number=?", (by, pipeline, number))
        db.execute(
            "UPDATE runs SET state='superseded', reason=?, finished_at=? "
            "WHERE pipeline=? AND number=? AND state='queued'",
            (f"superseded by run {by}", now(), pipeline, number),
        )
    runs = [stored_run(db, pipeline, number) for number in numbers]
    return [run for run in runs if run.state is RunState.SUPERSEDED]


def is_schedule_queued(db: sqlite3.Connection, pipeline: str, trigger: Trigger, options: RunOptions) -> bool:
    """Return whether an earlier due time has queued the same run, which has not started. False for other triggers."""
    if trigger is not Trigger.SCHEDULE:
        return False
    sql = "SELECT 1 FROM runs WHERE pipeline=? AND state='queued' AND trigger='schedule' AND options=?"
    return db.execute(sql, (pipeline, json.dumps(options.to_json()))).fetchone() is not None


def stored_run(db: sqlite3.Connection, pipeline: str, number: int) -> Run:
    """Return one run as it is now. It must exist."""
    sql = "SELECT * FROM timed_runs WHERE pipeline=? AND number=?"
    return run_from_row(db.execute(sql, (pipeline, number)).fetchone())

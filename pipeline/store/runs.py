"""Runs and their stages."""

from __future__ import annotations

from pipeline.store.database import Database
from pipeline.store.records import LAST_EVENTS, Run, RunState, StageRecord, StageState
from pipeline.store.rows import now, run_from_row, stage_from_row
from pipeline.store.run_times import end_parts

# The runs that are searched for a missing last event. Only the last ones of a dead process can lack it.
_RECENT = 100
_EVENTS = "SELECT 1 FROM events WHERE pipeline=latest.pipeline AND run=latest.number AND"
_WITHOUT_LAST_EVENT = (
    "SELECT * FROM (SELECT * FROM timed_runs WHERE pipeline=? ORDER BY number DESC LIMIT ?) AS latest "  # noqa: S608
    f"WHERE state NOT IN ('queued', 'running', 'interrupted') AND EXISTS ({_EVENTS} kind='run.started') "
    f"AND NOT EXISTS ({_EVENTS} kind IN ({', '.join('?' * len(LAST_EVENTS))})) ORDER BY number"
)


class Runs:
    """The runs of all pipelines, finished ones included.

    `RunQueue` adds and starts them. Every method is one transaction and raises `StoreFault`.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def get(self, pipeline: str, number: int) -> Run | None:
        """Return one run, or None if it does not exist."""
        row = self._db.row("SELECT * FROM timed_runs WHERE pipeline=? AND number=?", pipeline, number)
        return run_from_row(row) if row else None

    def latest(self, pipeline: str, limit: int = 20) -> list[Run]:
        """Return the latest runs, newest first."""
        rows = self._db.rows("SELECT * FROM timed_runs WHERE pipeline=? ORDER BY number DESC LIMIT ?", pipeline, limit)
        return [run_from_row(row) for row in rows]

    def previous(self, pipeline: str, number: int, ref: str) -> Run | None:
        """Return the latest run of a ref before run `number`, without skipped ones. None if there is none."""
        row = self._db.row(
            "SELECT * FROM timed_runs WHERE pipeline=? AND number<? AND ref=? AND state<>'skipped' "
            "ORDER BY number DESC LIMIT 1",
            pipeline,
            number,
            ref,
        )
        return run_from_row(row) if row else None

    def running(self, pipeline: str) -> list[Run]:
        """Return the runs that a process executes, or executed when it died. Queued runs are left out."""
        rows = self._db.rows("SELECT * FROM timed_runs WHERE pipeline=? AND state='running' ORDER BY number", pipeline)
        return [run_from_row(row) for row in rows]

    def without_last_event(self, pipeline: str) -> list[Run]:
        """Return the runs that were executed and have an outcome, but no last event. Looks at the latest runs only."""
        rows = self._db.rows(_WITHOUT_LAST_EVENT, pipeline, _RECENT, *LAST_EVENTS)
        return [run_from_row(row) for row in rows]

    def set_revision(self, pipeline: str, number: int, *, sha: str, ref: str, author: str, subject: str) -> None:
        """Store the commit of a run."""
        with self._db.transaction() as db:
            db.execute(
                "UPDATE runs SET sha=?, ref=?, author=?, subject=? WHERE pipeline=? AND number=?",
                (sha, ref, author, subject, pipeline, number),
            )

    def set_release(self, pipeline: str, number: int, release: int) -> None:
        """Store the existing release that a run deploys."""
        with self._db.transaction() as db:
            db.execute("UPDATE runs SET release=? WHERE pipeline=? AND number=?", (release, pipeline, number))

    def finish(self, pipeline: str, number: int, state: RunState, reason: str = "") -> None:
        """Store the outcome of a run. A stage that was running ends with it."""
        stage = {RunState.INTERRUPTED: StageState.INTERRUPTED, RunState.CANCELLED: StageState.CANCELLED}
        with self._db.transaction() as db:
            db.execute(
                "UPDATE runs SET state=?, reason=?, finished_at=?, waits_for=NULL WHERE pipeline=? AND number=?",
                (state, reason, now(), pipeline, number),
            )
            db.execute(
                "UPDATE stages SET state=?, finished_at=? WHERE pipeline=? AND run=? AND state='running'",
                (stage.get(state, StageState.FAILED), now(), pipeline, number),
            )
            end_parts(db, pipeline, number)

    def stages(self, pipeline: str, number: int) -> list[StageRecord]:
        """Return the stages of a run, in order."""
        sql = "SELECT * FROM timed_stages WHERE pipeline=? AND run=? ORDER BY position"
        rows = self._db.rows(sql, pipeline, number)
        return [stage_from_row(row) for row in rows]

    def finish_stage(self, pipeline: str, number: int, name: str, state: StageState, summary: str) -> None:
        """Store the outcome of a stage."""
        with self._db.transaction() as db:
            db.execute(
                "UPDATE stages SET state=?, summary=?, finished_at=? WHERE pipeline=? AND run=? AND name=?",
                (state, summary, now(), pipeline, number, name),
            )
            end_parts(db, pipeline, number, name)

"""Runs of scheduled jobs, and the times up to which their schedules are handled."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta

from pipeline.base.clock import Stamp
from pipeline.store.database import Database
from pipeline.store.job_run import JobRun, JobSchedule, JobState
from pipeline.store.rows import next_number, optional_time, parse_time


class JobRuns:
    """The runs of the jobs of all pipelines. At most one of each job is running.

    Every method is one transaction and raises `StoreFault`.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def begin(
        self,
        pipeline: str,
        job: str,
        release: int,
        container: str,
        started: Stamp,
        scheduled_for: datetime | None = None,
        handled: JobSchedule | None = None,
    ) -> JobRun | None:
        """Add a run, before its container is created. `handled` is stored with it, so that no time is run twice.

        Returns None and changes nothing if the job runs already, if another release is active by now, or while
        `pipeline down` removes everything.
        """
        with self._db.transaction() as db:
            if _is_refused(db, pipeline, job, release):
                return None
            number = next_number(db, "job_runs", pipeline)
            db.execute(
                "INSERT INTO job_runs (pipeline, number, job, release, scheduled_for, container, state, started_at, "
                "boot, seconds) VALUES (?,?,?,?,?,?,?,?,?,?)",
                (
                    *(pipeline, number, job, release, scheduled_for.isoformat() if scheduled_for else None, container),
                    *(JobState.RUNNING, started.wall.isoformat(), started.boot, started.seconds),
                ),
            )
            if handled:
                _set_schedule(db, pipeline, job, handled)
        return self.get(pipeline, number)

    def finish(
        self,
        run: JobRun,
        state: JobState,
        ended_at: datetime,
        took: timedelta,
        *,
        exit_code: int | None = None,
        reason: str = "",
    ) -> None:
        """Store the outcome of a run. Does nothing if it has one."""
        with self._db.transaction() as db:
            db.execute(
                "UPDATE job_runs SET state=?, ended_at=?, took=?, exit_code=?, reason=? WHERE pipeline=? AND number=? "
                "AND state='running'",
                (state, ended_at.isoformat(), took.total_seconds(), exit_code, reason, run.pipeline, run.number),
            )

    def request_cancel(self, pipeline: str, number: int, by: str | None = None) -> None:
        """Let a run that has not ended end as cancelled, by a user. The first one counts."""
        with self._db.transaction() as db:
            db.execute(
                "UPDATE job_runs SET cancelled=1, cancelled_by=coalesce(cancelled_by, ?) "
                "WHERE pipeline=? AND number=? AND state='running'",
                (by, pipeline, number),
            )

    def set_timed_out(self, pipeline: str, number: int, timeout: timedelta) -> None:
        """Let a run that has not ended end as timed out. Written before it is stopped."""
        with self._db.transaction() as db:
            db.execute(
                "UPDATE job_runs SET timed_out=? WHERE pipeline=? AND number=? AND state='running'",
                (timeout.total_seconds(), pipeline, number),
            )

    def get(self, pipeline: str, number: int) -> JobRun | None:
        """Return one run, or None if it does not exist."""
        row = self._db.row("SELECT * FROM job_runs WHERE pipeline=? AND number=?", pipeline, number)
        return _from_row(row) if row else None

    def running(self, pipeline: str) -> list[JobRun]:
        """Return the runs that have not ended, oldest first. The process of one may have been killed."""
        rows = self._db.rows("SELECT * FROM job_runs WHERE pipeline=? AND state='running' ORDER BY number", pipeline)
        return [_from_row(row) for row in rows]

    def latest(self, pipeline: str, job: str | None = None, limit: int = 20) -> list[JobRun]:
        """Return the latest runs of all jobs or of one, newest first."""
        rows = self._db.rows(
            "SELECT * FROM job_runs WHERE pipeline=? AND (? IS NULL OR job=?) ORDER BY number DESC LIMIT ?",
            *(pipeline, job, job, limit),
        )
        return [_from_row(row) for row in rows]

    def all(self, pipeline: str) -> list[JobRun]:
        """Return all runs that are kept, newest first."""
        rows = self._db.rows("SELECT * FROM job_runs WHERE pipeline=? ORDER BY number DESC", pipeline)
        return [_from_row(row) for row in rows]

    def last_of_each(self, pipeline: str) -> dict[str, JobRun]:
        """Return the latest run of each job."""
        rows = self._db.rows(
            "SELECT * FROM job_runs WHERE pipeline=? AND number IN "
            "(SELECT max(number) FROM job_runs WHERE pipeline=? GROUP BY job)",
            *(pipeline, pipeline),
        )
        return {row["job"]: _from_row(row) for row in rows}

    def prune(self, pipeline: str, job: str, keep: int, since: datetime | None = None) -> None:
        """Delete the ended runs of a job but the latest `keep`, and those that started before `since`.

        The latest one stays in any case. The events of the job are kept as long as its oldest run.
        """
        with self._db.transaction() as db:
            runs = db.execute(
                "SELECT number, started_at FROM job_runs WHERE pipeline=? AND job=? AND state<>'running' "
                "ORDER BY number DESC",
                (pipeline, job),
            ).fetchall()
            old = [
                row
                for place, row in enumerate(runs)
                if place and (place >= keep or (since and parse_time(row["started_at"]) < since))
            ]
            if not old:
                return
            db.executemany(
                "DELETE FROM job_runs WHERE pipeline=? AND number=?", [(pipeline, row["number"]) for row in old]
            )
            db.execute(
                "DELETE FROM events WHERE pipeline=? AND run IS NULL AND kind LIKE 'job.%' "
                "AND json_extract(fields, '$.job')=? "
                "AND at < (SELECT min(started_at) FROM job_runs WHERE pipeline=? AND job=?)",
                (pipeline, job, pipeline, job),
            )

    def schedule(self, pipeline: str, job: str) -> JobSchedule | None:
        """Return the schedule of a job as it was handled last, or None."""
        row = self._db.row("SELECT * FROM job_schedules WHERE pipeline=? AND job=?", pipeline, job)
        return JobSchedule(row["schedule"], row["timezone"] or None, parse_time(row["since"])) if row else None

    def set_schedule(self, pipeline: str, job: str, handled: JobSchedule) -> None:
        """Store up to when the times of a job are handled."""
        with self._db.transaction() as db:
            _set_schedule(db, pipeline, job, handled)

    def forget_schedules(self, pipeline: str) -> None:
        """Forget what was handled of all jobs of a pipeline, of which nothing is deployed any more."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM job_schedules WHERE pipeline=?", (pipeline,))

    def active_since(self, pipeline: str, release: int) -> datetime | None:
        """Return when a release became the active one, or None."""
        row = self._db.row(
            "SELECT max(finished_at) AS at FROM deployments WHERE pipeline=? AND to_release=? AND state='succeeded'",
            *(pipeline, release),
        )
        return optional_time(row["at"]) if row else None


def _is_refused(db: sqlite3.Connection, pipeline: str, job: str, release: int) -> bool:
    row = db.execute(
        "SELECT EXISTS(SELECT 1 FROM job_runs WHERE pipeline=:pipeline AND job=:job AND state='running') OR "
        "NOT EXISTS(SELECT 1 FROM releases WHERE pipeline=:pipeline AND number=:release AND state='active') OR "
        "EXISTS(SELECT 1 FROM deployments WHERE pipeline=:pipeline AND state='running' AND to_release IS NULL)",
        {"pipeline": pipeline, "job": job, "release": release},
    ).fetchone()
    return bool(row[0])


def _set_schedule(db: sqlite3.Connection, pipeline: str, job: str, handled: JobSchedule) -> None:
    db.execute(
        "INSERT OR REPLACE INTO job_schedules (pipeline, job, schedule, timezone, since) VALUES (?,?,?,?,?)",
        (pipeline, job, handled.schedule, handled.timezone or "", handled.since.isoformat()),
    )


def _from_row(row: sqlite3.Row) -> JobRun:
    return JobRun(
        pipeline=row["pipeline"],
        number=row["number"],
        job=row["job"],
        release=row["release"],
        scheduled_for=optional_time(row["scheduled_for"]),
        container=row["container"],
        state=JobState(row["state"]),
        exit_code=row["exit_code"],
        reason=row["reason"],
        is_cancelled=bool(row["cancelled"]),
        cancelled_by=row["cancelled_by"],
        timed_out=None if row["timed_out"] is None else timedelta(seconds=row["timed_out"]),
        started=Stamp(parse_time(row["started_at"]), row["boot"], row["seconds"]),
        ended_at=optional_time(row["ended_at"]),
        took=None if row["took"] is None else timedelta(seconds=row["took"]),
    )

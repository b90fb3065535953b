"""Removal of old runs."""

from __future__ import annotations

from datetime import datetime

from pipeline.store.database import Database

MAX_EVENTS = 10_000
"""Latest events of a pipeline that belong to no run, such as those of backups and skipped times of jobs."""

# The events of a job's run stay as long as the run.
_PRUNE_EVENTS = """
WITH without_run AS (
  SELECT id, at FROM events WHERE pipeline=:pipeline AND run IS NULL AND NOT EXISTS (
    SELECT 1 FROM job_runs WHERE pipeline=:pipeline AND number=json_extract(events.fields, '$.job_run')
  )
)
DELETE FROM events WHERE id IN (
  SELECT id FROM without_run WHERE at < (SELECT min(started_at) FROM runs WHERE pipeline=:pipeline)
  OR id <= (SELECT id FROM without_run ORDER BY id DESC LIMIT 1 OFFSET :keep)
)
"""


class History:
    """The finished runs of all pipelines. Raises `StoreFault`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def prune(self, pipeline: str, keep: int = 100, *, succeeded: int = 1, since: datetime | None = None) -> list[int]:
        """Delete finished runs with their events, and return the numbers of the deleted runs.

        The latest `keep` runs stay, those that ended after `since`, and the latest `succeeded` runs that deployed a
        commit. The next run is compared with the last of these, so `succeeded` is at least 1.
        """
        with self._db.transaction() as db:
            rows = db.execute(
                "SELECT number FROM runs WHERE pipeline=? AND state NOT IN ('queued', 'running') "
                "AND number NOT IN (SELECT number FROM runs WHERE pipeline=? AND state='succeeded' AND kind='run' "
                "ORDER BY number DESC LIMIT ?) AND (? IS NULL OR finished_at < ?) "
                "AND number <= (SELECT max(number) FROM runs WHERE pipeline=?) - ?",
                (pipeline, pipeline, succeeded, *[since.isoformat() if since else None] * 2, pipeline, keep),
            ).fetchall()
            numbers = [row["number"] for row in rows]
            for number in numbers:
                db.execute("DELETE FROM events WHERE pipeline=? AND run=?", (pipeline, number))
                db.execute("DELETE FROM deployment_strategies WHERE pipeline=? AND run=?", (pipeline, number))
                db.execute("DELETE FROM runs WHERE pipeline=? AND number=?", (pipeline, number))
        self.prune_events(pipeline)
        return numbers

    def prune_events(self, pipeline: str, keep: int = MAX_EVENTS) -> None:
        """Delete events that belong to no run: those that are older than the oldest run, and all but the latest `keep`.

        The events of a job's run stay as long as the run.
        """
        with self._db.transaction() as db:
            db.execute(_PRUNE_EVENTS, {"pipeline": pipeline, "keep": keep})

"""Removal of old runs."""

from __future__ import annotations

from datetime import datetime

from pipeline.store.database import Database


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
                db.execute("DELETE FROM runs WHERE pipeline=? AND number=?", (pipeline, number))
            # Events that belong to no run are kept as long as the oldest run.
            db.execute(
                "DELETE FROM events WHERE pipeline=? AND run IS NULL "
                "AND at < (SELECT min(started_at) FROM runs WHERE pipeline=?)",
                (pipeline, pipeline),
            )
        return numbers

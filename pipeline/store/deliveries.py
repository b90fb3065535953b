"""Webhooks that have been taken, so that none is taken twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pipeline.store.database import Database
from pipeline.store.rows import now

# No forge sends one again after this, and whoever else does finds that nothing is new.
_KEPT = timedelta(days=30)


class Deliveries:
    """A digest of each. Raises `StoreFault`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def take(self, pipeline: str, digest: str) -> bool:
        """Remember a webhook. False when it has been taken before."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM deliveries WHERE at < ?", ((datetime.now(UTC) - _KEPT).isoformat(),))
            cursor = db.execute("INSERT OR IGNORE INTO deliveries VALUES (?,?,?)", (digest, pipeline, now()))
            return cursor.rowcount == 1

    def forget(self, pipeline: str, digest: str) -> None:
        """A webhook that was taken could not be used: it may come again."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM deliveries WHERE pipeline=? AND digest=?", (pipeline, digest))

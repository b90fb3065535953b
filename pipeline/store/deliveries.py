"""Webhook deliveries that were received."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pipeline.store.database import Database
from pipeline.store.rows import now

# No forge repeats a delivery after this time. A later replay only requests a scan that finds no new commit.
_RETENTION = timedelta(days=30)


class Deliveries:
    """The digests of the webhook deliveries that each pipeline received. Raises `StoreFault`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def take(self, pipeline: str, digest: str) -> bool:
        """Store a delivery. False if the pipeline has received it before."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM webhook_deliveries WHERE at < ?", ((datetime.now(UTC) - _RETENTION).isoformat(),))
            cursor = db.execute(
                "INSERT OR IGNORE INTO webhook_deliveries (pipeline, digest, at) VALUES (?,?,?)",
                (pipeline, digest, now()),
            )
            return cursor.rowcount == 1

    def delete(self, pipeline: str, digest: str) -> None:
        """Delete a delivery that could not be used, so that the forge can send it again."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM webhook_deliveries WHERE pipeline=? AND digest=?", (pipeline, digest))

"""Stages that are closed for a while."""

from __future__ import annotations

from pipeline.store.database import Database
from pipeline.store.rows import now


class Transitions:
    """The transitions into stages. What is not closed is open. Raises `StoreFault`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def close(self, pipeline: str, stage: str, reason: str) -> None:
        """Let no run into a stage."""
        with self._db.transaction() as db:
            db.execute("INSERT OR REPLACE INTO transitions VALUES (?,?,?,?)", (pipeline, stage, reason, now()))

    def open(self, pipeline: str, stage: str) -> bool:
        """Let runs into a stage again. False when it was open."""
        with self._db.transaction() as db:
            cursor = db.execute("DELETE FROM transitions WHERE pipeline=? AND stage=?", (pipeline, stage))
            return cursor.rowcount == 1

    def closed(self, pipeline: str) -> dict[str, str]:
        """The stages that are closed, each with the reason."""
        rows = self._db.rows("SELECT stage, reason FROM transitions WHERE pipeline=?", pipeline)
        return {row["stage"]: row["reason"] for row in rows}

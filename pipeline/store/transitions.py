"""Transitions into stages."""

from __future__ import annotations

from pipeline.store.database import Database
from pipeline.store.rows import now


class Transitions:
    """The disabled transitions into stages. All others are enabled. Raises `StoreFault`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def disable(self, pipeline: str, stage: str, reason: str) -> None:
        """Keep runs out of a stage. Replaces the reason if the transition is disabled already."""
        with self._db.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO transitions (pipeline, stage, reason, closed_at) VALUES (?,?,?,?)",
                (pipeline, stage, reason, now()),
            )

    def enable(self, pipeline: str, stage: str) -> bool:
        """Let runs into a stage again. False if the transition is enabled already."""
        with self._db.transaction() as db:
            cursor = db.execute("DELETE FROM transitions WHERE pipeline=? AND stage=?", (pipeline, stage))
            return cursor.rowcount == 1

    def disabled(self, pipeline: str) -> dict[str, str]:
        """Return the disabled stages, each with the reason."""
        rows = self._db.rows("SELECT stage, reason FROM transitions WHERE pipeline=?", pipeline)
        return {row["stage"]: row["reason"] for row in rows}

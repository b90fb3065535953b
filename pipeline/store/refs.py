"""Positions of the refs that triggers watch."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from pipeline.store.database import Database


class Refs:
    """The last known commit of each ref, and the patterns of the last scan.

    `RunQueue.put` moves a head in the transaction that queues its runs. Raises `StoreFault`.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def heads(self, pipeline: str) -> dict[str, str]:
        """Return the last known commit of each ref."""
        rows = self._db.rows("SELECT ref, sha FROM heads WHERE pipeline=?", pipeline)
        return {row["ref"]: row["sha"] for row in rows}

    def delete_head(self, pipeline: str, ref: str) -> None:
        """Delete a ref that is gone. If it comes back, all of its commits are new."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM heads WHERE pipeline=? AND ref=?", (pipeline, ref))

    def patterns(self, pipeline: str) -> list[str]:
        """Return the ref patterns of the last scan, or an empty list before the first."""
        row = self._db.row("SELECT patterns FROM watched WHERE pipeline=?", pipeline)
        return list(json.loads(row["patterns"])) if row else []

    def set_patterns(self, pipeline: str, patterns: Sequence[str]) -> None:
        """Store the ref patterns of a scan."""
        with self._db.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO watched (pipeline, patterns) VALUES (?,?)", (pipeline, json.dumps(patterns))
            )


def head(db: sqlite3.Connection, pipeline: str, ref: str) -> str | None:
    """Return the last known commit of a ref, within a transaction of the caller."""
    row = db.execute("SELECT sha FROM heads WHERE pipeline=? AND ref=?", (pipeline, ref)).fetchone()
    return row["sha"] if row else None


def set_head(db: sqlite3.Connection, pipeline: str, ref: str, sha: str) -> None:
    """Store the last known commit of a ref, within a transaction of the caller."""
    db.execute("INSERT OR REPLACE INTO heads (pipeline, ref, sha) VALUES (?,?,?)", (pipeline, ref, sha))

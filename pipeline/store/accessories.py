"""The accessories of pipelines: what should run of each, and a change that is in progress."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from pipeline.store.database import Database


@dataclass(frozen=True)
class AccessoryRow:
    """An accessory as stored. `pipeline.accessories.record` gives its columns their meaning."""

    name: str
    wanted: str
    current: str | None
    next: str | None


class Accessories:
    """The accessories of each pipeline. A change is on disk when a method returns. Raises `StoreFault`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def all(self, pipeline: str) -> list[AccessoryRow]:
        """Return the accessories of a pipeline, in the order of their names."""
        rows = self._db.rows("SELECT * FROM accessories WHERE pipeline=? ORDER BY name", pipeline)
        return [_row(row) for row in rows]

    def get(self, pipeline: str, name: str) -> AccessoryRow | None:
        """Return one accessory, or None."""
        row = self._db.row("SELECT * FROM accessories WHERE pipeline=? AND name=?", pipeline, name)
        return _row(row) if row else None

    def put(self, pipeline: str, row: AccessoryRow) -> None:
        """Store an accessory, in place of what is stored."""
        with self._db.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO accessories VALUES (?,?,?,?,?)",
                (pipeline, row.name, row.wanted, row.current, row.next),
            )

    def delete(self, pipeline: str, name: str) -> None:
        """Delete an accessory, if there is one."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM accessories WHERE pipeline=? AND name=?", (pipeline, name))


def _row(row: sqlite3.Row) -> AccessoryRow:
    return AccessoryRow(row["name"], row["wanted"], row["current"], row["next"])

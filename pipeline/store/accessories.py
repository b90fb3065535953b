"""The accessories of pipelines: what should run of each, and a change that is in progress."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
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

    def deployed(self, pipeline: str) -> dict[str, str]:
        """Return the accessories in the file of the last deployment, as stored, by name."""
        rows = self._db.rows("SELECT * FROM deployed_accessories WHERE pipeline=? ORDER BY name", pipeline)
        return {row["name"]: row["settings"] for row in rows}

    def add_deployed(self, pipeline: str, settings: Mapping[str, str]) -> None:
        """Add the accessories of a deployment that begins. Those that are known stay as they are."""
        with self._db.transaction() as db:
            _insert(db, pipeline, settings)

    def set_deployed(self, pipeline: str, settings: Mapping[str, str]) -> None:
        """Store the accessories of a deployment that has succeeded, in place of those before."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM deployed_accessories WHERE pipeline=?", (pipeline,))
            _insert(db, pipeline, settings)


def _insert(db: sqlite3.Connection, pipeline: str, settings: Mapping[str, str]) -> None:
    rows = [(pipeline, name, stored) for name, stored in settings.items()]
    db.executemany("INSERT OR IGNORE INTO deployed_accessories VALUES (?,?,?)", rows)


def _row(row: sqlite3.Row) -> AccessoryRow:
    return AccessoryRow(row["name"], row["wanted"], row["current"], row["next"])

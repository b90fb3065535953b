"""Services and the number of replicas that each should have."""

from __future__ import annotations

import json
import sqlite3

from pipeline.store.database import Database

# Releases of version 1 have this service only, and hold its count themselves.
_ONLY_SERVICE = "web"


class Services:
    """The wanted number of replicas of each service. A successful deployment sets it. Raises `StoreFault`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def wanted(self, pipeline: str, name: str) -> int | None:
        """Return the wanted number of replicas of a service.

        Until it is set for the first time, the number in the active release counts, which only version 1 has. None if
        there is none either.
        """
        row = self._db.row("SELECT wanted FROM services WHERE pipeline=? AND name=?", pipeline, name)
        if row is not None:
            return int(row["wanted"])
        active = self._db.row("SELECT spec FROM releases WHERE pipeline=? AND state='active'", pipeline)
        if active is None or name != _ONLY_SERVICE:
            return None
        return _replicas(active["spec"])

    def scaled(self, pipeline: str, name: str, declared: int) -> int | None:
        """Return the number that `pipeline scale` has set while pipeline.yaml had the number `declared`, or None."""
        sql = "SELECT wanted FROM scales WHERE pipeline=? AND service=? AND declared=?"
        row = self._db.row(sql, pipeline, name, declared)
        return int(row["wanted"]) if row else None


def job_names(stored: str) -> tuple[str, ...]:
    """Return the names of the scheduled jobs in a stored release. Loads no model."""
    services = json.loads(stored).get("services")
    found = services.items() if isinstance(services, dict) else ()
    return tuple(name for name, settings in found if settings.get("schedule"))


def set_scale(db: sqlite3.Connection, pipeline: str, name: str, declared: int | None, count: int) -> None:
    """Keep the number of a service that differs from the declared one. None: forget it."""
    db.execute("DELETE FROM scales WHERE pipeline=? AND service=?", (pipeline, name))
    if declared not in (None, count):
        db.execute("INSERT INTO scales VALUES (?,?,?,?)", (pipeline, name, declared, count))


def forget_scales(db: sqlite3.Connection, pipeline: str) -> None:
    """Forget the numbers of all services of a pipeline, of which nothing is deployed any more."""
    db.execute("DELETE FROM scales WHERE pipeline=?", (pipeline,))


def set_wanted(db: sqlite3.Connection, pipeline: str, name: str, count: int) -> None:
    """Store the wanted number of replicas of a service, 0 or more, in the transaction of the caller."""
    db.execute("INSERT OR REPLACE INTO services (pipeline, name, wanted) VALUES (?,?,?)", (pipeline, name, count))


def _replicas(spec: str) -> int | None:
    replicas = json.loads(spec).get("deploy", {}).get("replicas")
    return None if replicas is None else int(replicas)

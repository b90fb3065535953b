"""The users who requested and cancelled runs. The callers hold a transaction."""

from __future__ import annotations

import sqlite3


def set_requested_by(db: sqlite3.Connection, pipeline: str, run: int, by: str) -> None:
    """Store the user who requested a new run."""
    db.execute("INSERT INTO run_actors (pipeline, run, requested_by) VALUES (?,?,?)", (pipeline, run, by))


def set_cancelled_by(db: sqlite3.Connection, pipeline: str, run: int, by: str) -> None:
    """Store the user who cancels a run that is not over. The first one counts."""
    db.execute(
        "INSERT INTO run_actors (pipeline, run, cancelled_by) "
        "SELECT pipeline, number, ? FROM runs WHERE pipeline=? AND number=? AND state IN ('queued', 'running') "
        "ON CONFLICT (pipeline, run) DO UPDATE SET cancelled_by=coalesce(cancelled_by, excluded.cancelled_by)",
        (by, pipeline, run),
    )


def clear_cancelled_by(db: sqlite3.Connection, pipeline: str, run: int) -> None:
    """Forget who cancelled a run that is queued again: the order came when it could not be stopped any more."""
    db.execute("UPDATE run_actors SET cancelled_by=NULL WHERE pipeline=? AND run=?", (pipeline, run))

"""Boot times of runs and stages. The callers hold a transaction."""

from __future__ import annotations

import sqlite3

from pipeline.base.clock import SYSTEM

QUEUE, RUN = "queue", "run"
"""The parts of a run that are no stages."""


def begin_part(db: sqlite3.Connection, pipeline: str, run: int, part: str) -> None:
    """Store that a part of a run begins now. A part that begins again replaces its previous time."""
    now = SYSTEM.now()
    db.execute(
        "INSERT OR REPLACE INTO run_times (pipeline, run, part, boot, seconds) VALUES (?,?,?,?,?)",
        (pipeline, run, part, now.boot, now.seconds),
    )


def end_parts(db: sqlite3.Connection, pipeline: str, run: int, part: str | None = None) -> None:
    """Store that a part of a run is over, or every part. Does nothing for those that are over already."""
    now = SYSTEM.now()
    db.execute(
        "UPDATE run_times SET took=max(0, ?-seconds) "
        "WHERE pipeline=? AND run=? AND (? IS NULL OR part=?) AND boot=? AND took IS NULL",
        (now.seconds, pipeline, run, part, part, now.boot),
    )

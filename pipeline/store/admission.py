"""The admission of runs to stages: what blocks a run, and the start of a stage. For use in a transaction."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from pipeline.store.order import obstacle
from pipeline.store.records import Run, RunKind, StageState
from pipeline.store.rows import now
from pipeline.store.run_times import begin_part
from pipeline.store.superseding import entries


@dataclass(frozen=True)
class Admission:
    """The answer to a run that wants to enter a stage: entered, superseded by a newer run, or blocked."""

    entered: bool = False
    superseded_by: int | None = None
    waits_for: str = ""


def obstacle_of(db: sqlite3.Connection, run: Run, stage: str) -> str:
    """Return what blocks a run from a stage, in words, or an empty text."""
    disabled = db.execute(
        "SELECT reason FROM transitions WHERE pipeline=? AND stage=?", (run.pipeline, stage)
    ).fetchone()
    if disabled and run.kind is RunKind.RUN:
        return f"the transition into {stage}, disabled: {disabled['reason']}"
    if stage != "deploy":
        return ""
    unfinished = entries(db, run.pipeline)
    other = obstacle(next(entry for entry in unfinished if entry.number == run.number), unfinished)
    return f"run {other}" if other else ""


def note_wait(db: sqlite3.Connection, run: Run, waits_for: str | None) -> None:
    """Store what a run waits for."""
    # Workers poll this. An unchanged value is not written again.
    if run.waits_for != waits_for:
        db.execute("UPDATE runs SET waits_for=? WHERE pipeline=? AND number=?", (waits_for, run.pipeline, run.number))


def begin_stage(db: sqlite3.Connection, pipeline: str, run: int, name: str) -> None:
    """Start a stage of a run."""
    db.execute(
        "INSERT INTO stages (pipeline, run, position, name, state, started_at) SELECT ?,?,count(*),?,?,? "
        "FROM stages WHERE pipeline=? AND run=?",
        (pipeline, run, name, StageState.RUNNING, now(), pipeline, run),
    )
    begin_part(db, pipeline, run, name)

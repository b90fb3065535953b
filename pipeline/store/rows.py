"""Rows of the database as records, and back."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime

from pipeline.store.records import (
    Approval,
    Release,
    ReleaseState,
    Run,
    RunKind,
    RunState,
    StageRecord,
    StageState,
    Trigger,
)


def run_of(row: sqlite3.Row) -> Run:
    """A row of `runs`."""
    return Run(
        **{
            **dict(row),
            "kind": RunKind(row["kind"]),
            "state": RunState(row["state"]),
            "trigger": Trigger(row["trigger"]),
            "options": json.loads(row["options"]),
            "approval": _approval(row["approval"]),
            "started_at": time_of(row["started_at"]),
            "finished_at": maybe_time(row["finished_at"]),
            "queued_at": maybe_time(row["queued_at"]),
        }
    )


def stage_of(row: sqlite3.Row) -> StageRecord:
    """A row of `stages`."""
    return StageRecord(
        row["pipeline"],
        row["run"],
        row["name"],
        StageState(row["state"]),
        row["summary"],
        time_of(row["started_at"]),
        maybe_time(row["finished_at"]),
    )


def release_of(row: sqlite3.Row) -> Release:
    """A row of `releases`."""
    return Release(**{**dict(row), "state": ReleaseState(row["state"]), "created_at": time_of(row["created_at"])})


def next_number(db: sqlite3.Connection, table: str, pipeline: str) -> int:
    """The next number of a pipeline's runs or releases."""
    found = db.execute(f"SELECT max(number) FROM {table} WHERE pipeline=?", (pipeline,)).fetchone()[0]  # noqa: S608
    return int(found or 0) + 1


def now() -> str:
    """This moment, as the database keeps it."""
    return datetime.now(UTC).isoformat()


def time_of(text: str) -> datetime:
    """A moment that the database kept."""
    return datetime.fromisoformat(text)


def maybe_time(text: str | None) -> datetime | None:
    """A moment, or none yet."""
    return time_of(text) if text else None


def _approval(text: str | None) -> Approval | None:
    return Approval(**{**(given := json.loads(text)), "at": time_of(given["at"])}) if text else None

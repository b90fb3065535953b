"""A long history, as after years of work: runs with their stages and events."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline.store.database import Database
from pipeline.store.queue import STAGES
from pipeline.store.records import RunKind, RunState, StageState, Trigger
from pipeline.store.store import Store

# The events of a run with three targets.
_EVENTS_PER_RUN = 45
_RUN_INTERVAL = timedelta(minutes=30)


def write_history(path: Path, pipeline: str, count: int) -> None:
    """Write past runs that succeeded directly into the tables."""
    with Store(path) as store:
        latest = next((run.number for run in store.runs.latest(pipeline, 1)), 0)
    begin = datetime.now(UTC) - _RUN_INTERVAL * count
    with closing(Database(path)) as database, database.transaction() as db:
        for number in range(latest + 1, latest + count + 1):
            _write_run(db, pipeline, number, begin + _RUN_INTERVAL * (number - latest))


def _write_run(db: sqlite3.Connection, pipeline: str, number: int, at: datetime) -> None:
    began, over = at.isoformat(), (at + timedelta(seconds=9)).isoformat()
    row = {
        "pipeline": pipeline,
        "number": number,
        "kind": RunKind.RUN,
        "state": RunState.SUCCEEDED,
        "sha": hashlib.sha1(f"{number}".encode()).hexdigest(),
        "ref": "main",
        "author": "Ann",
        "subject": f"Change number {number}",
        "started_at": began,
        "finished_at": over,
        "queued_at": began,
        "pid": 1,
        "trigger": Trigger.WATCH,
    }
    db.execute(f"INSERT INTO runs ({','.join(row)}) VALUES ({','.join('?' * len(row))})", tuple(row.values()))
    db.executemany(
        "INSERT INTO stages VALUES (?,?,?,?,?,?,?,?)",
        [
            (pipeline, number, place, name, StageState.SUCCEEDED, f"{name} went well", began, over)
            for place, name in enumerate(STAGES)
        ],
    )
    db.executemany(
        "INSERT INTO events (pipeline, run, kind, message, fields, at) VALUES (?,?,?,?,?,?)",
        [
            (pipeline, number, "target.healthy", f"shop.r{number}.{event:06x} is healthy", "{}", began)
            for event in range(_EVENTS_PER_RUN)
        ],
    )

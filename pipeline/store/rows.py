"""Conversion of database rows to records, column by column."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta

from pipeline.base.clock import Stamp
from pipeline.store.records import (
    ApprovalDecision,
    Deployment,
    DeploymentState,
    Release,
    ReleaseState,
    Run,
    RunKind,
    RunOptions,
    RunState,
    StageRecord,
    StageState,
    Trigger,
)


def run_from_row(row: sqlite3.Row) -> Run:
    """Convert a row of `timed_runs`."""
    return Run(
        pipeline=row["pipeline"],
        number=row["number"],
        kind=RunKind(row["kind"]),
        state=RunState(row["state"]),
        requested=row["requested"],
        sha=row["sha"],
        ref=row["ref"],
        author=row["author"],
        subject=row["subject"],
        release=row["release"],
        reason=row["reason"],
        started_at=parse_time(row["started_at"]),
        finished_at=optional_time(row["finished_at"]),
        pid=row["pid"],
        trigger=Trigger(row["trigger"]),
        queued_at=optional_time(row["queued_at"]),
        options=RunOptions.from_json(json.loads(row["options"])),
        superseded_by=row["superseded_by"],
        retry_of=row["retry_of"],
        attempts=row["attempts"],
        waits_for=row["waits_for"],
        approval=_decision(row["approval"]),
        image_id=row["image_id"],
        by=row["requested_by"],
        cancelled_by=row["cancelled_by"],
        queued=_stamp(row["queued_at"], row["queued_boot"], row["queued_seconds"]),
        started=_stamp(row["started_at"], row["boot"], row["seconds"]),
        took=_took(row["took"]),
    )


def stage_from_row(row: sqlite3.Row) -> StageRecord:
    """Convert a row of `timed_stages`."""
    return StageRecord(
        pipeline=row["pipeline"],
        run=row["run"],
        name=row["name"],
        state=StageState(row["state"]),
        summary=row["summary"],
        started_at=parse_time(row["started_at"]),
        finished_at=optional_time(row["finished_at"]),
        started=_stamp(row["started_at"], row["boot"], row["seconds"]),
        took=_took(row["took"]),
    )


def release_from_row(row: sqlite3.Row) -> Release:
    """Convert a row of `releases`."""
    return Release(
        pipeline=row["pipeline"],
        number=row["number"],
        run=row["run"],
        sha=row["sha"],
        subject=row["subject"],
        image_id=row["image_id"],
        image_tag=row["image_tag"],
        spec=row["spec"],
        state=ReleaseState(row["state"]),
        created_at=parse_time(row["created_at"]),
    )


def deployment_from_row(row: sqlite3.Row) -> Deployment:
    """Convert a row of `deployments`."""
    return Deployment(
        id=row["id"],
        pipeline=row["pipeline"],
        run=row["run"],
        from_release=row["from_release"],
        to_release=row["to_release"],
        state=DeploymentState(row["state"]),
        reason=row["reason"],
        started_at=parse_time(row["started_at"]),
        finished_at=optional_time(row["finished_at"]),
        strategy=row["strategy"] or "",
    )


def next_number(db: sqlite3.Connection, table: str, pipeline: str) -> int:
    """Return the next number of a pipeline's `runs` or `releases`."""
    row = db.execute(f"SELECT max(number) AS latest FROM {table} WHERE pipeline=?", (pipeline,)).fetchone()  # noqa: S608
    return int(row["latest"] or 0) + 1


def now() -> str:
    """Return the current time in its stored form."""
    return datetime.now(UTC).isoformat()


def parse_time(text: str) -> datetime:
    """Parse a stored time."""
    return datetime.fromisoformat(text)


def optional_time(text: str | None) -> datetime | None:
    """Parse a stored time, or return None."""
    return parse_time(text) if text else None


def _stamp(wall: str | None, boot: str | None, seconds: float | None) -> Stamp | None:
    """Return a stored time, which has no boot time if a previous version stored it."""
    return Stamp(parse_time(wall), boot or "", seconds or 0.0) if wall else None


def _took(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _decision(text: str | None) -> ApprovalDecision | None:
    if not text:
        return None
    data = json.loads(text)
    return ApprovalDecision(granted=data["granted"], by=data["by"], comment=data["comment"], at=parse_time(data["at"]))

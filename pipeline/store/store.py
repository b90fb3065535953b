"""Runs, releases and deployments: what happened, what serves, and what was being done about it."""

from __future__ import annotations

import json
import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from pipeline.events import Event
from pipeline.store.database import Database
from pipeline.store.records import (
    Deployment,
    DeploymentState,
    Release,
    ReleaseState,
    Run,
    RunKind,
    RunState,
    StageRecord,
    StageState,
)


class Store:
    """The database of one home. Every method is one transaction; all raise `StoreFault`."""

    def __init__(self, path: Path) -> None:
        self._db = Database(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # Runs

    def begin_run(self, pipeline: str, kind: RunKind = RunKind.RUN, requested: str | None = None) -> Run:
        """A new run with the next number of its pipeline."""
        with self._db.transaction() as db:
            number = _next(db, "runs", pipeline)
            db.execute(
                "INSERT INTO runs (pipeline, number, kind, state, requested, started_at, pid) VALUES (?,?,?,?,?,?,?)",
                (pipeline, number, kind, RunState.RUNNING, requested, _now(), os.getpid()),
            )
        run = self.run(pipeline, number)
        assert run is not None
        return run

    def set_revision(self, pipeline: str, number: int, *, sha: str, ref: str, author: str, subject: str) -> None:
        """The commit that a run is for."""
        with self._db.transaction() as db:
            db.execute(
                "UPDATE runs SET sha=?, ref=?, author=?, subject=? WHERE pipeline=? AND number=?",
                (sha, ref, author, subject, pipeline, number),
            )

    def finish_run(self, pipeline: str, number: int, state: RunState, reason: str = "") -> None:
        """How a run ended. A stage that was running ended with it."""
        stage = {RunState.INTERRUPTED: StageState.INTERRUPTED, RunState.CANCELLED: StageState.CANCELLED}
        with self._db.transaction() as db:
            db.execute(
                "UPDATE runs SET state=?, reason=?, finished_at=? WHERE pipeline=? AND number=?",
                (state, reason, _now(), pipeline, number),
            )
            db.execute(
                "UPDATE stages SET state=?, finished_at=? WHERE pipeline=? AND run=? AND state='running'",
                (stage.get(state, StageState.FAILED), _now(), pipeline, number),
            )

    def discard_run(self, pipeline: str, number: int) -> None:
        """Forget a run that turned out to have nothing to do."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM events WHERE pipeline=? AND run=?", (pipeline, number))
            db.execute("DELETE FROM runs WHERE pipeline=? AND number=?", (pipeline, number))

    def run(self, pipeline: str, number: int) -> Run | None:
        """One run."""
        row = self._db.row("SELECT * FROM runs WHERE pipeline=? AND number=?", pipeline, number)
        return _run(row) if row else None

    def runs(self, pipeline: str, limit: int = 20) -> list[Run]:
        """The latest runs, newest first."""
        rows = self._db.rows("SELECT * FROM runs WHERE pipeline=? ORDER BY number DESC LIMIT ?", pipeline, limit)
        return [_run(row) for row in rows]

    def unfinished_runs(self, pipeline: str) -> list[Run]:
        """Runs that somebody works on, or that nobody works on any more."""
        rows = self._db.rows("SELECT * FROM runs WHERE pipeline=? AND state='running' ORDER BY number", pipeline)
        return [_run(row) for row in rows]

    def last_succeeded(self, pipeline: str) -> Run | None:
        """The latest run that put a commit into service."""
        row = self._db.row(
            "SELECT * FROM runs WHERE pipeline=? AND state='succeeded' AND kind='run' ORDER BY number DESC", pipeline
        )
        return _run(row) if row else None

    # Pipelines

    def file_of(self, pipeline: str) -> Path | None:
        """The pipeline.yaml that the name belongs to."""
        row = self._db.row("SELECT file FROM pipelines WHERE name=?", pipeline)
        return Path(row["file"]) if row else None

    def remember_file(self, pipeline: str, file: Path) -> None:
        """The name belongs to `file` from now on."""
        with self._db.transaction() as db:
            db.execute("INSERT OR REPLACE INTO pipelines VALUES (?,?)", (pipeline, str(file)))

    # Stages

    def begin_stage(self, pipeline: str, run: int, name: str) -> None:
        """A stage of a run has started."""
        with self._db.transaction() as db:
            db.execute(
                "INSERT INTO stages (pipeline, run, position, name, state, started_at) SELECT ?,?,count(*),?,?,? "
                "FROM stages WHERE pipeline=? AND run=?",
                (pipeline, run, name, StageState.RUNNING, _now(), pipeline, run),
            )

    def finish_stage(self, pipeline: str, run: int, name: str, state: StageState, summary: str) -> None:
        """How a stage ended."""
        with self._db.transaction() as db:
            db.execute(
                "UPDATE stages SET state=?, summary=?, finished_at=? WHERE pipeline=? AND run=? AND name=?",
                (state, summary, _now(), pipeline, run, name),
            )

    def stages(self, pipeline: str, run: int) -> list[StageRecord]:
        """The stages of a run, in order."""
        rows = self._db.rows("SELECT * FROM stages WHERE pipeline=? AND run=? ORDER BY position", pipeline, run)
        return [
            StageRecord(
                row["pipeline"],
                row["run"],
                row["name"],
                StageState(row["state"]),
                row["summary"],
                _time(row["started_at"]),
                _maybe_time(row["finished_at"]),
            )
            for row in rows
        ]

    # Releases and deployments

    def create_release(
        self, pipeline: str, run: int, *, sha: str, subject: str, image_id: str, image_tag: str, spec: str
    ) -> Release:
        """A new release with the next number of its pipeline, not in service yet."""
        with self._db.transaction() as db:
            number = _next(db, "releases", pipeline)
            db.execute(
                "INSERT INTO releases VALUES (?,?,?,?,?,?,?,?,?,?)",
                (pipeline, number, run, sha, subject, image_id, image_tag, spec, ReleaseState.PENDING, _now()),
            )
            db.execute("UPDATE runs SET release=? WHERE pipeline=? AND number=?", (number, pipeline, run))
        release = self.release(pipeline, number)
        assert release is not None
        return release

    def set_release(self, pipeline: str, run: int, release: int) -> None:
        """The run puts a release into service that was there before."""
        with self._db.transaction() as db:
            db.execute("UPDATE runs SET release=? WHERE pipeline=? AND number=?", (release, pipeline, run))

    def release(self, pipeline: str, number: int) -> Release | None:
        """One release."""
        row = self._db.row("SELECT * FROM releases WHERE pipeline=? AND number=?", pipeline, number)
        return _release(row) if row else None

    def releases(self, pipeline: str) -> list[Release]:
        """All releases, newest first."""
        rows = self._db.rows("SELECT * FROM releases WHERE pipeline=? ORDER BY number DESC", pipeline)
        return [_release(row) for row in rows]

    def active_release(self, pipeline: str) -> Release | None:
        """The release that serves."""
        row = self._db.row("SELECT * FROM releases WHERE pipeline=? AND state='active'", pipeline)
        return _release(row) if row else None

    def begin_deployment(self, pipeline: str, run: int, from_release: int | None, to_release: int | None) -> Deployment:
        """The intent to move from one release to another, on disk before anything moves."""
        with self._db.transaction() as db:
            db.execute(
                "INSERT INTO deployments (pipeline, run, from_release, to_release, state, started_at) "
                "VALUES (?,?,?,?,?,?)",
                (pipeline, run, from_release, to_release, DeploymentState.RUNNING, _now()),
            )
        deployment = self.open_deployment(pipeline)
        assert deployment is not None
        return deployment

    def open_deployment(self, pipeline: str) -> Deployment | None:
        """The move that is going on, or was when its process died."""
        row = self._db.row("SELECT * FROM deployments WHERE pipeline=? AND state='running'", pipeline)
        if row is None:
            return None
        values = {**dict(row), "state": DeploymentState(row["state"]), "started_at": _time(row["started_at"])}
        return Deployment(**{**values, "finished_at": _maybe_time(row["finished_at"])})

    def finish_deployment(self, deployment: Deployment, state: DeploymentState, reason: str = "") -> None:
        """How a move ended, and with it which release serves: both or neither are written."""
        with self._db.transaction() as db:
            db.execute(
                "UPDATE deployments SET state=?, reason=?, finished_at=? WHERE id=?",
                (state, reason, _now(), deployment.id),
            )
            if state is DeploymentState.SUCCEEDED:
                _mark(db, deployment.pipeline, deployment.from_release, ReleaseState.RETIRED)
                _mark(db, deployment.pipeline, deployment.to_release, ReleaseState.ACTIVE)
            elif deployment.to_release != deployment.from_release:
                db.execute(
                    "UPDATE releases SET state='failed' WHERE pipeline=? AND number=? AND state='pending'",
                    (deployment.pipeline, deployment.to_release),
                )

    # Events

    def record_event(self, event: Event) -> None:
        """Keep an event. A listener of `Events`."""
        with self._db.transaction() as db:
            db.execute(
                "INSERT INTO events (pipeline, run, kind, message, fields, at) VALUES (?,?,?,?,?,?)",
                (
                    event.pipeline,
                    event.run,
                    event.kind,
                    event.message,
                    json.dumps(dict(event.fields)),
                    event.at.isoformat(),
                ),
            )

    def events(self, pipeline: str, run: int | None = None, limit: int = 200) -> list[Event]:
        """The latest events of a pipeline or of one run, oldest first."""
        rows = self._db.rows(
            "SELECT * FROM events WHERE pipeline=? AND (? IS NULL OR run=?) ORDER BY id DESC LIMIT ?",
            pipeline,
            run,
            run,
            limit,
        )
        return [
            Event(r["kind"], r["message"], r["pipeline"], r["run"], json.loads(r["fields"]), _time(r["at"]))
            for r in reversed(rows)
        ]

    # Images

    def remember_image(self, pipeline: str, key: str, image_id: str) -> None:
        """What was made, or tested, from the inputs that `key` stands for."""
        with self._db.transaction() as db:
            db.execute("INSERT OR REPLACE INTO images VALUES (?,?,?)", (pipeline, key, image_id))

    def image(self, pipeline: str, key: str) -> str | None:
        """The image made from the inputs that `key` stands for. It may have been removed since."""
        row = self._db.row("SELECT image_id FROM images WHERE pipeline=? AND key=?", pipeline, key)
        return row["image_id"] if row else None

    def forget_image(self, image_id: str) -> None:
        """An image is gone."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM images WHERE image_id=?", (image_id,))

    # History

    def prune_history(self, pipeline: str, keep: int = 100) -> list[int]:
        """Forget all but the latest `keep` runs; returns the numbers that are gone.

        The last run that succeeded is kept, however old: it put into service what serves.
        """
        last = self.last_succeeded(pipeline)
        with self._db.transaction() as db:
            rows = db.execute(
                "SELECT number FROM runs WHERE pipeline=? AND state<>'running' AND number<>? "
                "AND number <= (SELECT max(number) FROM runs WHERE pipeline=?) - ?",
                (pipeline, last.number if last else 0, pipeline, keep),
            ).fetchall()
            numbers = [row["number"] for row in rows]
            for number in numbers:
                db.execute("DELETE FROM events WHERE pipeline=? AND run=?", (pipeline, number))
                db.execute("DELETE FROM runs WHERE pipeline=? AND number=?", (pipeline, number))
        return numbers


def _mark(db: sqlite3.Connection, pipeline: str, number: int | None, state: ReleaseState) -> None:
    db.execute("UPDATE releases SET state=? WHERE pipeline=? AND number=?", (state, pipeline, number))


def _next(db: sqlite3.Connection, table: str, pipeline: str) -> int:
    found = db.execute(f"SELECT max(number) FROM {table} WHERE pipeline=?", (pipeline,)).fetchone()[0]  # noqa: S608
    return int(found or 0) + 1


def _run(row: sqlite3.Row) -> Run:
    values = {**dict(row), "kind": RunKind(row["kind"]), "state": RunState(row["state"])}
    return Run(**{**values, "started_at": _time(row["started_at"]), "finished_at": _maybe_time(row["finished_at"])})


def _release(row: sqlite3.Row) -> Release:
    return Release(**{**dict(row), "state": ReleaseState(row["state"]), "created_at": _time(row["created_at"])})


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _maybe_time(text: str | None) -> datetime | None:
    return _time(text) if text else None

"""Runs, releases and deployments: what happened, what serves, and what was being done about it."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import deque
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Self

from pipeline.base.errors import StoreFault
from pipeline.event_kinds import current_kind
from pipeline.events import Event
from pipeline.store.database import Database
from pipeline.store.deliveries import Deliveries
from pipeline.store.queue import RunQueue
from pipeline.store.records import (
    Deployment,
    DeploymentState,
    Release,
    ReleaseState,
    Run,
    RunState,
    StageRecord,
    StageState,
)
from pipeline.store.rows import maybe_time, next_number, now, release_of, run_of, stage_of, time_of
from pipeline.store.transitions import Transitions

# How many events are kept in memory while the disk is full.
_UNWRITTEN = 1000


class Store:
    """The database of one home. Every method is one transaction; all raise `StoreFault`."""

    def __init__(self, path: Path) -> None:
        self._noted: deque[Event] = deque(maxlen=_UNWRITTEN)
        self._noting = threading.Lock()
        self._db = Database(path)
        self.queue = RunQueue(self._db)
        self.transitions = Transitions(self._db)
        self.deliveries = Deliveries(self._db)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # Runs

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
                "UPDATE runs SET state=?, reason=?, finished_at=?, waits_for=NULL WHERE pipeline=? AND number=?",
                (state, reason, now(), pipeline, number),
            )
            db.execute(
                "UPDATE stages SET state=?, finished_at=? WHERE pipeline=? AND run=? AND state='running'",
                (stage.get(state, StageState.FAILED), now(), pipeline, number),
            )

    def run(self, pipeline: str, number: int) -> Run | None:
        """One run."""
        row = self._db.row("SELECT * FROM runs WHERE pipeline=? AND number=?", pipeline, number)
        return run_of(row) if row else None

    def runs(self, pipeline: str, limit: int = 20) -> list[Run]:
        """The latest runs, newest first."""
        rows = self._db.rows("SELECT * FROM runs WHERE pipeline=? ORDER BY number DESC LIMIT ?", pipeline, limit)
        return [run_of(row) for row in rows]

    def unfinished_runs(self, pipeline: str) -> list[Run]:
        """Runs that somebody works on, or that nobody works on any more. Not those that wait in the queue."""
        rows = self._db.rows("SELECT * FROM runs WHERE pipeline=? AND state='running' ORDER BY number", pipeline)
        return [run_of(row) for row in rows]

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

    def finish_stage(self, pipeline: str, run: int, name: str, state: StageState, summary: str) -> None:
        """How a stage ended."""
        with self._db.transaction() as db:
            db.execute(
                "UPDATE stages SET state=?, summary=?, finished_at=? WHERE pipeline=? AND run=? AND name=?",
                (state, summary, now(), pipeline, run, name),
            )

    def stages(self, pipeline: str, run: int) -> list[StageRecord]:
        """The stages of a run, in order."""
        rows = self._db.rows("SELECT * FROM stages WHERE pipeline=? AND run=? ORDER BY position", pipeline, run)
        return [stage_of(row) for row in rows]

    # Releases and deployments

    def create_release(
        self, pipeline: str, run: int, *, sha: str, subject: str, image_id: str, image_tag: str, spec: str
    ) -> Release:
        """A new release with the next number of its pipeline, not in service yet."""
        with self._db.transaction() as db:
            number = next_number(db, "releases", pipeline)
            db.execute(
                "INSERT INTO releases VALUES (?,?,?,?,?,?,?,?,?,?)",
                (pipeline, number, run, sha, subject, image_id, image_tag, spec, ReleaseState.PENDING, now()),
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
        return release_of(row) if row else None

    def releases(self, pipeline: str) -> list[Release]:
        """All releases, newest first."""
        rows = self._db.rows("SELECT * FROM releases WHERE pipeline=? ORDER BY number DESC", pipeline)
        return [release_of(row) for row in rows]

    def active_release(self, pipeline: str) -> Release | None:
        """The release that serves."""
        row = self._db.row("SELECT * FROM releases WHERE pipeline=? AND state='active'", pipeline)
        return release_of(row) if row else None

    def begin_deployment(self, pipeline: str, run: int, from_release: int | None, to_release: int | None) -> Deployment:
        """The intent to move from one release to another, on disk before anything moves."""
        with self._db.transaction() as db:
            db.execute(
                "INSERT INTO deployments (pipeline, run, from_release, to_release, state, started_at) "
                "VALUES (?,?,?,?,?,?)",
                (pipeline, run, from_release, to_release, DeploymentState.RUNNING, now()),
            )
        deployment = self.open_deployment(pipeline)
        assert deployment is not None
        return deployment

    def open_deployment(self, pipeline: str) -> Deployment | None:
        """The move that is going on, or was when its process died."""
        row = self._db.row("SELECT * FROM deployments WHERE pipeline=? AND state='running'", pipeline)
        if row is None:
            return None
        values = {**dict(row), "state": DeploymentState(row["state"]), "started_at": time_of(row["started_at"])}
        return Deployment(**{**values, "finished_at": maybe_time(row["finished_at"])})

    def finish_deployment(self, deployment: Deployment, state: DeploymentState, reason: str = "") -> None:
        """How a move ended, and with it which release serves: both or neither are written."""
        with self._db.transaction() as db:
            db.execute(
                "UPDATE deployments SET state=?, reason=?, finished_at=? WHERE id=?",
                (state, reason, now(), deployment.id),
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

    def note_event(self, event: Event) -> None:
        """Keep an event of no run, if need be only in memory for now: what keeps a service going goes on while the
        disk is full. Raises nothing.
        """
        with self._noting:
            self._noted.append(event)
        self.write_noted()

    def write_noted(self) -> None:
        """Write the events that could not be written when they came. Those that still cannot wait. Raises nothing."""
        with self._noting, suppress(StoreFault):
            while self._noted:
                self.record_event(self._noted[0])
                self._noted.popleft()

    def events(self, pipeline: str, run: int | None = None, limit: int = 200) -> list[Event]:
        """The latest events of a pipeline or of one run, oldest first."""
        rows = self._db.rows(
            "SELECT * FROM events WHERE pipeline=? AND (? IS NULL OR run=?) ORDER BY id DESC LIMIT ?",
            pipeline,
            run,
            run,
            limit,
        )
        return [_event(row) for row in reversed(rows)]

    def events_after(
        self, pipeline: str | None, last: int, limit: int = 1000, *, run: int | None = None
    ) -> list[tuple[int, Event]]:
        """Events with their ids, from the one after `last` on, oldest first; of all pipelines where it is None."""
        wanted = {"pipeline": pipeline, "run": run}
        given = {column: value for column, value in wanted.items() if value is not None}
        where = "".join(f" AND {column}=?" for column in given)
        sql = f"SELECT * FROM events WHERE id>?{where} ORDER BY id LIMIT ?"  # noqa: S608
        rows = self._db.rows(sql, last, *given.values(), limit)
        return [(row["id"], _event(row)) for row in rows]

    # Images

    def remember_image(self, pipeline: str, key: str, image_id: str) -> None:
        """What was made, or tested, from the inputs that `key` stands for."""
        with self._db.transaction() as db:
            db.execute("INSERT OR REPLACE INTO images VALUES (?,?,?)", (pipeline, key, image_id))

    def image(self, pipeline: str, key: str) -> str | None:
        """The image made from the inputs that `key` stands for. It may have been removed since."""
        row = self._db.row("SELECT image_id FROM images WHERE pipeline=? AND key=?", pipeline, key)
        return row["image_id"] if row else None

    def hold_image(self, pipeline: str, run: int, image_id: str) -> None:
        """The run uses an image: nobody who makes room may remove it before the run is over."""
        with self._db.transaction() as db:
            db.execute("UPDATE runs SET image_id=? WHERE pipeline=? AND number=?", (image_id, pipeline, run))

    def held_images(self, pipeline: str) -> set[str]:
        """The images that runs use which are not over."""
        sql = "SELECT image_id FROM runs WHERE pipeline=? AND state IN ('queued', 'running') AND image_id IS NOT NULL"
        return {row["image_id"] for row in self._db.rows(sql, pipeline)}

    def forget_image(self, image_id: str) -> None:
        """An image is gone."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM images WHERE image_id=?", (image_id,))

    # History

    def prune_history(
        self, pipeline: str, keep: int = 100, *, succeeded: int = 1, since: datetime | None = None
    ) -> list[int]:
        """Forget runs that are over; returns the numbers that are gone.

        The latest `keep` stay, those that ended after `since`, and the latest `succeeded` that put a commit into
        service: one at least, which is where what serves comes from.
        """
        with self._db.transaction() as db:
            rows = db.execute(
                "SELECT number FROM runs WHERE pipeline=? AND state NOT IN ('queued', 'running') "
                "AND number NOT IN (SELECT number FROM runs WHERE pipeline=? AND state='succeeded' AND kind='run' "
                "ORDER BY number DESC LIMIT ?) AND (? IS NULL OR finished_at < ?) "
                "AND number <= (SELECT max(number) FROM runs WHERE pipeline=?) - ?",
                (pipeline, pipeline, succeeded, *[since.isoformat() if since else None] * 2, pipeline, keep),
            ).fetchall()
            numbers = [row["number"] for row in rows]
            for number in numbers:
                db.execute("DELETE FROM events WHERE pipeline=? AND run=?", (pipeline, number))
                db.execute("DELETE FROM runs WHERE pipeline=? AND number=?", (pipeline, number))
            # What belongs to no run is kept as long as the oldest one.
            db.execute(
                "DELETE FROM events WHERE pipeline=? AND run IS NULL "
                "AND at < (SELECT min(started_at) FROM runs WHERE pipeline=?)",
                (pipeline, pipeline),
            )
        return numbers


def _mark(db: sqlite3.Connection, pipeline: str, number: int | None, state: ReleaseState) -> None:
    db.execute("UPDATE releases SET state=? WHERE pipeline=? AND number=?", (state, pipeline, number))


def _event(row: sqlite3.Row) -> Event:
    return Event(
        current_kind(row["kind"]),
        row["message"],
        row["pipeline"],
        row["run"],
        json.loads(row["fields"]),
        time_of(row["at"]),
    )

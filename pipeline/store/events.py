"""Events on disk."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import deque
from contextlib import suppress

from pipeline.base.errors import StoreFault
from pipeline.base.whole_number import LARGEST
from pipeline.event_kinds import current_kind
from pipeline.events import Event
from pipeline.store.database import Database
from pipeline.store.event_filter import EventFilter
from pipeline.store.rows import parse_time

# The most events that are kept in memory while the disk is full. Then the oldest are dropped.
_MAX_BUFFERED = 1000
# A pipeline has fewer events in a minute.
_LATEST = 2000


class EventLog:
    """The events of all pipelines, in the order of their ids.

    Safe to use from any thread. Methods raise `StoreFault` unless they say otherwise.
    """

    def __init__(self, database: Database) -> None:
        self._db = database
        self._buffer: deque[Event] = deque(maxlen=_MAX_BUFFERED)
        self._buffer_lock = threading.Lock()

    def record(self, event: Event) -> None:
        """Write an event. It is on disk when this returns. A listener of `Events`."""
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

    def buffer(self, event: Event) -> None:
        """Write an event that belongs to no run, or keep it in memory if the disk is full. Raises nothing.

        Repair must continue while the disk is full, so its events must not fail.
        """
        with self._buffer_lock:
            self._buffer.append(event)
        self.flush()

    def flush(self) -> None:
        """Write the buffered events, oldest first. Those that cannot be written stay buffered. Raises nothing."""
        # The daemon calls this every second, and the buffer is nearly always empty.
        if not self._buffer:
            return
        with self._buffer_lock, suppress(StoreFault):
            while self._buffer:
                self.record(self._buffer[0])
                self._buffer.popleft()

    def latest(self, pipeline: str, run: int | None = None, limit: int = 200) -> list[Event]:
        """Return the latest events of a pipeline, or of one of its runs, oldest first."""
        rows = self._db.rows(
            "SELECT * FROM events WHERE pipeline=? AND (? IS NULL OR run=?) ORDER BY id DESC LIMIT ?",
            pipeline,
            run,
            run,
            limit,
        )
        return [_event_from_row(row) for row in reversed(rows)]

    def latest_of(self, pipeline: str, kind: str, run: int) -> Event | None:
        """Return the latest event of a kind of a run, or None."""
        row = self._db.row(
            "SELECT * FROM events WHERE pipeline=? AND run=? AND kind=? ORDER BY id DESC LIMIT 1", pipeline, run, kind
        )
        return _event_from_row(row) if row else None

    def is_of_target(self, pipeline: str, kind: str, target: str) -> bool:
        """Return whether one of a pipeline's latest events is of a kind and about a target."""
        row = self._db.row(
            "SELECT 1 FROM (SELECT kind, fields FROM events WHERE pipeline=? ORDER BY id DESC LIMIT ?) "
            "WHERE kind=? AND json_extract(fields, '$.target')=?",
            pipeline,
            _LATEST,
            kind,
            target,
        )
        return row is not None

    def after(
        self, pipeline: str | None, last: int, limit: int = 1000, *, run: int | None = None
    ) -> list[tuple[int, Event]]:
        """Return the events after the id `last` with their ids, oldest first. None means all pipelines."""
        return self.newer(EventFilter(pipeline, run), last, limit)

    def newer(self, wanted: EventFilter, last: int, limit: int) -> list[tuple[int, Event]]:
        """Return the wanted events after the id `last` with their ids, oldest first."""
        return self._select(wanted, "id>?", last, "id", limit)

    def older(self, wanted: EventFilter, first: int | None, limit: int) -> list[tuple[int, Event]]:
        """Return the wanted events before the id `first` with their ids, newest first. None: the latest ones."""
        return self._select(wanted, "id<?", LARGEST if first is None else first, "id DESC", limit)

    def _select(
        self, wanted: EventFilter, condition: str, number: int, order: str, limit: int
    ) -> list[tuple[int, Event]]:
        sql = f"SELECT * FROM events WHERE {condition} AND {wanted.condition} ORDER BY {order} LIMIT ?"  # noqa: S608
        rows = self._db.rows(sql, number, *wanted.values, limit)
        return [(row["id"], _event_from_row(row)) for row in rows]

    def last_id(self) -> int:
        """Return the id of the latest event of all pipelines, 0 before the first."""
        row = self._db.row("SELECT max(id) AS last FROM events")
        return int(row["last"] or 0) if row else 0


def _event_from_row(row: sqlite3.Row) -> Event:
    return Event(
        kind=current_kind(row["kind"]),
        message=row["message"],
        pipeline=row["pipeline"],
        run=row["run"],
        fields=json.loads(row["fields"]),
        at=parse_time(row["at"]),
    )

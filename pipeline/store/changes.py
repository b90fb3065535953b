"""Changes of the database, as they are committed by this process and by others.

What holds:

- A transaction of this process is reported right after it is committed.
- One of another process is reported within some milliseconds, if the kernel allows a watch on the write-ahead log.
  Its writer writes to that file shortly before the transaction can be read, so the database is asked a few times.
- Without such a watch, and for a write that it missed, the database is asked every half
  second, or every five seconds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from pipeline.base.errors import StoreFault, SystemFault
from pipeline.base.watch import watch_file
from pipeline.store.database import Database

# After a write to the log. A writer syncs the file in between, which may take long on a slow disk.
_DELAYS = tuple(timedelta(milliseconds=number) for number in (2, 5, 10, 20, 50, 100, 200, 400))
_WATCHED_INTERVAL = timedelta(seconds=5)
_UNWATCHED_INTERVAL = timedelta(seconds=0.5)

Listener = Callable[[], None]


class StoreChanges:
    """Reports committed transactions to listeners. Safe to use from any thread.

    Those of other processes are reported only while a thread calls `step` repeatedly.
    """

    def __init__(self, database: Database) -> None:
        self._db = database
        self._lock = threading.Lock()
        self._listeners: dict[object, tuple[Listener, bool]] = {}
        self._version: int | None = None
        self._attempts = len(_DELAYS)
        self._interval = _UNWATCHED_INTERVAL
        database.on_commit = self._report_own

    @contextmanager
    def subscribe(self, listener: Listener, *, foreign_only: bool = False) -> Iterator[None]:
        """Call `listener` in the `with` block after each transaction, or after those of other processes only.

        It must return soon and raise nothing. Several transactions may be reported as one.
        """
        key = object()
        with self._lock:
            self._listeners[key] = (listener, foreign_only)
        try:
            yield
        finally:
            with self._lock:
                del self._listeners[key]

    @contextmanager
    def watch(self, on_write: Callable[[], None]) -> Iterator[None]:
        """Call `on_write` in the `with` block when `step` should be called before its interval has passed."""

        def written() -> None:
            self._attempts = 0
            on_write()

        try:
            with watch_file(self._db.log_path, written):
                self._interval = _WATCHED_INTERVAL
                yield
        except SystemFault:
            yield
        finally:
            self._interval = _UNWATCHED_INTERVAL

    def step(self) -> timedelta:
        """Report transactions of other processes since the last call, and return the time until the next call."""
        try:
            version = self._db.data_version()
        except StoreFault:
            # The file is locked or lost. Whoever needs it reports that.
            return _UNWATCHED_INTERVAL
        if version != self._version:
            is_first, self._version = self._version is None, version
            if not is_first:
                self._report(foreign=True)
            self._attempts = len(_DELAYS)
        if self._attempts >= len(_DELAYS):
            return self._interval
        self._attempts += 1
        return _DELAYS[self._attempts - 1]

    def _report_own(self) -> None:
        self._report(foreign=False)

    def _report(self, *, foreign: bool) -> None:
        with self._lock:
            told = [listener for listener, foreign_only in self._listeners.values() if foreign or not foreign_only]
        for listener in told:
            listener()

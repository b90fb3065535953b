"""The SQLite file: opening, migrations, transactions, and errors in plain words."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from pipeline.base.errors import StoreFault

_VERSION = 16
_CACHE_KIB = 256
_BUSY_TIMEOUT_MS = 5000
# A part of SQLite's message, with the reason and the hint for the user.
_FAULTS = {
    "disk is full": ("the disk is full", "free some space, then run the command again: nothing was half written"),
    "disk I/O error": ("the disk is full or failing", "free some space or check the disk, then run the command again"),
    "readonly": ("the file is read-only", "make it writable"),
    "locked": ("another process has locked it for 5 s", "try again"),
    "unable to open": ("its folder is read-only, or the file is unreadable", "make the folder writable"),
    "not a database": ("it is damaged or not a database", "move it away and run the command again"),
    "malformed": ("it is damaged", "move it away and run the command again"),
}
_LOST = "the file was removed or replaced while it was in use"


class Database:
    """One connection to the file, which the threads of a process share.

    Opening creates the file and brings its tables up to date. Every error is a `StoreFault`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self.on_commit: Callable[[], None] = lambda: None
        """Called after each transaction of this connection, without any lock."""
        with self._translate_errors():
            if not path.exists():
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._file = self._identity()
            try:
                self._configure()
                self._migrate()
            except BaseException:
                self._connection.close()
                raise

    @property
    def is_lost(self) -> bool:
        """True if the file was removed or replaced since it was opened. What is written to it would be lost."""
        return self._identity() != self._file

    def close(self) -> None:
        """Close the file, after the query in progress. SQLite crashes if it is closed during one."""
        with self._lock:
            self._connection.close()

    def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """Return the rows of a query."""
        with self._lock, self._translate_errors():
            return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: object) -> sqlite3.Row | None:
        """Return the first row of a query, or None."""
        return next(iter(self.rows(sql, *values)), None)

    @property
    def log_path(self) -> Path:
        """The write-ahead log, to which every transaction of every process is written first."""
        return self._path.with_name(f"{self._path.name}-wal")

    def data_version(self) -> int:
        """Return a number that changes when another connection has committed a transaction."""
        row = self.row("PRAGMA data_version")
        assert row is not None
        return int(row[0])

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit all statements of the block, or none of them if it raises.

        The write lock is taken first, so that rows that the block reads cannot change before it ends.
        """
        with self._lock, self._translate_errors():
            if self.is_lost:
                raise StoreFault(f"database {self._path}: {_LOST}", hint="run the command again, or restart the daemon")
            self._connection.execute("BEGIN IMMEDIATE")
            before = self._connection.total_changes
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            has_changed = self._connection.total_changes != before
        # A queue that is empty is asked for a run again and again.
        if has_changed:
            self.on_commit()

    def _configure(self) -> None:
        self._connection.row_factory = sqlite3.Row
        # With NORMAL, a power cut would lose the transactions of the last seconds: a release that was reported as
        # active, or the row of a deployment that has moved targets. FULL costs 1 to 4 ms a transaction.
        # The kernel caches the file too, so pages of SQLite's own would only let the daemon grow with the history.
        self._connection.executescript(
            f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
            f"PRAGMA foreign_keys=ON; PRAGMA cache_size=-{_CACHE_KIB};"
        )

    def _migrate(self) -> None:
        """Run the missing migrations, all in one transaction."""
        if self._version() == _VERSION:
            return
        with self.transaction() as db:
            # Read the version again under the lock: another process may have migrated the file meanwhile.
            for number in range(self._version() + 1, _VERSION + 1):
                script = files("pipeline.store").joinpath(f"migrations/{number:04}.sql").read_text()
                # Statement by statement, because `executescript` commits first.
                for statement in script.split(";\n"):
                    db.execute(statement)
            db.execute(f"PRAGMA user_version={_VERSION}")

    def _version(self) -> int:
        version = int(self._connection.execute("PRAGMA user_version").fetchone()["user_version"])
        if version > _VERSION:
            raise StoreFault(
                f"{self._path} was written by a newer Penstock (database version {version}, this one knows {_VERSION})",
                hint="use that version, or another PENSTOCK_HOME",
            )
        return version

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._fault(str(error)) from error
        except OSError as error:
            raise StoreFault(f"cannot open {self._path}: {error.strerror}") from error

    def _fault(self, text: str) -> StoreFault:
        for part, (reason, hint) in _FAULTS.items():
            if part in text:
                return StoreFault(f"database {self._path}: {reason}", hint=hint)
        return StoreFault(f"database {self._path}: {text}")

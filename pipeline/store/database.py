"""The SQLite file: opened, brought up to date, written in transactions, its errors made readable."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from pipeline.base.errors import StoreFault

_VERSION = 3
_PATIENCE_MS = 5000


class Database:
    """One connection, shared by threads that take turns. Every error is a `StoreFault`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        with self._readable_errors():
            if not path.exists():
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._connection.row_factory = sqlite3.Row
            # WAL with NORMAL loses nothing when we are killed; only a power cut may lose the last transaction,
            # never the file. What Docker and HAProxy say decides after that, so a lost row costs no request.
            self._connection.executescript(
                f"PRAGMA busy_timeout={_PATIENCE_MS}; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                "PRAGMA foreign_keys=ON;"
            )
            self._migrate()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """What a query finds."""
        with self._lock, self._readable_errors():
            return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: object) -> sqlite3.Row | None:
        """The first row that a query finds."""
        return next(iter(self.rows(sql, *values)), None)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing. The write lock is taken at the start, so that what is read stays true."""
        with self._lock, self._readable_errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _migrate(self) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version > _VERSION:
            raise StoreFault(
                f"{self._path} was written by a newer Penstock (database version {version}, this one knows {_VERSION})",
                hint="use that version, or another PENSTOCK_HOME",
            )
        if version < _VERSION:
            # Two commands may come here together: the second one finds the work done.
            self._connection.execute("BEGIN EXCLUSIVE")
            done = self._connection.execute("PRAGMA user_version").fetchone()[0]
            for number in range(done + 1, _VERSION + 1):
                self._apply(files("pipeline.store").joinpath(f"migrations/{number:04}.sql").read_text())
            self._connection.execute(f"PRAGMA user_version={_VERSION}")
            self._connection.execute("COMMIT")

    def _apply(self, migration: str) -> None:
        """Its statements one by one: `executescript` would end the transaction first."""
        for statement in migration.split(";\n"):
            self._connection.execute(statement)

    @contextmanager
    def _readable_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._fault(str(error)) from error
        except OSError as error:
            raise StoreFault(f"cannot open {self._path}: {error.strerror}") from error

    def _fault(self, text: str) -> StoreFault:
        known = {
            "disk is full": ("the disk is full", "make room, then run the command again: nothing was half written"),
            "disk I/O error": ("the disk is full or failing", "make room or look at the disk, then run it again"),
            "readonly": ("it may only be read", "give yourself the right to write it"),
            "locked": ("another process has held it for 5 s", "try again"),
            "not a database": ("it is damaged or no database", "move it away and run the command again"),
            "malformed": ("it is damaged", "move it away and run the command again"),
        }
        for sign, (reason, hint) in known.items():
            if sign in text:
                return StoreFault(f"database {self._path}: {reason}", hint=hint)
        return StoreFault(f"database {self._path}: {text}")

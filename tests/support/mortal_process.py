"""A process that dies at a chosen moment: nothing that it does afterwards reaches the database."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.base.errors import StoreFault
from pipeline.store import store as store_module
from pipeline.store.database import Database
from pipeline.store.store import Store


class ProcessDied(BaseException):
    """The process of a test was killed. Nothing catches it, as nothing catches SIGKILL."""


class Power:
    """Decides about each transaction of one store: it passes, fails, or the process dies.

    `cut_at` is the number of a writing transaction, from 0. The process dies before it, or with `late` after it.
    `full_at` are the numbers of transactions that fail because the disk is full.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.dead = False
        self.count = 0
        self.cut_at: int | None = None
        self.late = False
        self.full_at: range = range(0)

    def check(self) -> None:
        """Raise `ProcessDied` in a dead process."""
        if self.dead:
            raise ProcessDied

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Count a transaction."""
        with self._lock:
            self.check()
            number, self.count = self.count, self.count + 1
        is_last = number == self.cut_at
        if number in self.full_at:
            raise StoreFault("database: the disk is full", hint="free some space")
        if is_last and not self.late:
            self.dead = True
        self.check()
        yield
        if is_last:
            self.dead = True
            raise ProcessDied


class MortalStores:
    """Opens the stores of a test's processes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._powers: dict[Store, Power] = {}
        self._made: list[Power] = []
        made = self._made

        class MortalDatabase(Database):
            def __init__(self, path: Path) -> None:
                self._power: Power | None = None
                super().__init__(path)
                self._power = Power()
                made.append(self._power)

            def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
                if self._power:
                    self._power.check()
                return super().rows(sql, *values)

            @contextmanager
            def transaction(self) -> Iterator[sqlite3.Connection]:
                if self._power is None:
                    with super().transaction() as db:
                        yield db
                    return
                with self._power.transaction(), super().transaction() as db:
                    yield db

        monkeypatch.setattr(store_module, "Database", MortalDatabase)
        monkeypatch.setattr(threading, "excepthook", _ignore_deaths(threading.excepthook))

    def open(self, path: Path) -> tuple[Store, Power]:
        """Open a store as a new process does."""
        store = Store(path)
        power = self._powers[store] = self._made[-1]
        return store, power

    def check_alive(self, store: Store) -> None:
        """Raise `ProcessDied` if the process of a store is dead."""
        self._powers[store].check()

    def close(self) -> None:
        """Close every store. No thread may use one any more."""
        for store in self._powers:
            store.close()


def _ignore_deaths(
    hook: Callable[[threading.ExceptHookArgs], object],
) -> Callable[[threading.ExceptHookArgs], object]:
    def ignore(arguments: threading.ExceptHookArgs) -> None:
        if not issubclass(arguments.exc_type, ProcessDied):
            hook(arguments)

    return ignore

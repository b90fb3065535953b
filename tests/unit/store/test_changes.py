"""Changes of the database are reported, whichever process commits them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.base.errors import SystemFault
from pipeline.events import Event
from pipeline.store import changes as changes_module
from pipeline.store.store import Store
from tests.support.waiting import until


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "penstock.db") as store:
        yield store


@contextmanager
def followed(store: Store) -> Iterator[None]:
    """Call `step` as a scheduler does, until the block ends."""
    woken, stopping = threading.Event(), threading.Event()

    def follow() -> None:
        while not stopping.is_set():
            woken.clear()
            woken.wait(store.changes.step().total_seconds())

    thread = threading.Thread(target=follow)
    with store.changes.watch(woken.set):
        store.changes.step()
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            woken.set()
            thread.join()


class Told:
    count = 0

    def __call__(self) -> None:
        self.count += 1


def test_own_transactions_are_reported_when_they_return(store: Store) -> None:
    """Not to those who follow other processes only, and not after the subscription."""
    every, foreign = Told(), Told()
    with store.changes.subscribe(every), store.changes.subscribe(foreign, foreign_only=True):
        store.events.record(Event("run.started", "text", "shop"))
        assert every.count == 1
    store.events.record(Event("run.started", "text", "shop"))
    assert every.count == 1
    assert foreign.count == 0


def test_a_transaction_that_is_rolled_back_is_not_reported(store: Store) -> None:
    """Nothing has changed."""
    told = Told()
    with store.changes.subscribe(told), pytest.raises(OverflowError):
        store.events.record(Event("run.started", "text", "shop", run=2**80))
    assert told.count == 0


def test_a_transaction_without_a_change_is_not_reported(store: Store) -> None:
    """Queues are asked for runs all the time."""
    told = Told()
    with store.changes.subscribe(told):
        assert store.queue.claim("shop", "queued") is None
    assert told.count == 0


@pytest.mark.parametrize("watches", [True, False])
def test_transactions_of_other_processes_are_reported(
    store: Store, tmp_path: Path, watches: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the kernel has no more watches. They can be read when the listener is called."""

    @contextmanager
    def refuse(*_: object) -> Iterator[None]:
        raise SystemFault("used up")
        yield

    if not watches:
        monkeypatch.setattr(changes_module, "watch_file", refuse)
    script = (
        "import sys; from pathlib import Path; from pipeline.store.store import Store;"
        "from pipeline.events import Event;"
        "Store(Path(sys.argv[1])).events.record(Event('run.started', 'text', 'shop'))"
    )
    seen: list[int] = []
    with followed(store), store.changes.subscribe(lambda: seen.append(len(store.events.latest("shop")))):
        for count in (1, 2, 3):
            subprocess.run([sys.executable, "-c", script, str(tmp_path / "penstock.db")], check=True)
            until(lambda: count in seen, "the event is seen")  # noqa: B023


def test_a_commit_long_after_its_write_is_reported(store: Store, tmp_path: Path) -> None:
    """A writer whose pages overflow its cache writes to the log before it commits."""
    told = Told()
    other = sqlite3.connect(tmp_path / "penstock.db", isolation_level=None)
    other.execute("PRAGMA cache_size=5")
    with followed(store), store.changes.subscribe(told, foreign_only=True):
        other.execute("BEGIN IMMEDIATE")
        for number in range(200):
            other.execute(
                "INSERT INTO events (pipeline, run, kind, message, fields, at) VALUES ('shop', 1, 'x', ?, '{}', '')",
                ("text" * 1000 + str(number),),
            )
        assert told.count == 0
        other.execute("COMMIT")
        until(lambda: told.count, "the commit is reported")
    other.close()

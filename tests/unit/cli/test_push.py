"""`git push -o follow` shows the runs of the push up to their last event."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.home import Home
from pipeline.base.lock import work_lock
from pipeline.cli.push import follow_push
from pipeline.events import Event
from pipeline.store.queue import RunRequest
from pipeline.store.records import RunState, Trigger
from pipeline.store.store import Store
from pipeline.testing.fakes.clock import FakeClock

SHA = "0123456789" * 4
COMMIT: dict[str, Any] = {"sha": SHA, "ref": "main", "author": "Ann", "subject": "Carts"}
MAIN = f"{'0' * 40} {SHA} refs/heads/main\n"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """Return a home with a daemon's lock held."""
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    with work_lock(home.daemon_lock, "pipeline serve"):
        yield home


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    with Store(home.database) as store:
        yield store


def emit(store: Store, kind: str, message: str, **fields: str | int) -> None:
    store.events.record(Event(kind, message, "shop", 1, fields))


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the printed lines without their time."""
    return [line.split("  ")[-1].strip() for line in capsys.readouterr().out.splitlines()]


def test_the_last_event_is_shown(home: Home, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """The last event of a finished run is shown with its reason."""
    clock = FakeClock(datetime.now(UTC))
    store.queue.put("shop", [RunRequest(Trigger.HOOK, **COMMIT)])
    emit(store, "run.queued", "run 1 queued by hook")
    store.runs.finish("shop", 1, RunState.FAILED, "the tests failed")
    following = threading.Thread(target=follow_push, args=(home, MAIN, clock))
    following.start()
    clock.wait_for_waiters()
    clock.advance(timedelta(seconds=4))
    clock.wait_for_waiters()
    emit(store, "run.finished", "run 1: failed", code=1, reason="the tests failed", tail="1 != 2")
    clock.advance_to_next_timeout()
    following.join(10)
    assert not following.is_alive()
    assert lines(capsys) == ["run 1 queued by hook", "run 1: failed", "the tests failed", "| 1 != 2"]


def test_a_missing_last_event_times_out(home: Home, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """If the daemon is killed before the last event, the command exits after five seconds."""
    clock = FakeClock(datetime.now(UTC), auto_advance=True)
    start = clock.now()
    store.queue.put("shop", [RunRequest(Trigger.HOOK, **COMMIT)])
    emit(store, "run.queued", "run 1 queued by hook")
    store.runs.finish("shop", 1, RunState.FAILED, "the tests failed")
    follow_push(home, MAIN, clock)
    assert lines(capsys) == ["run 1 queued by hook"]
    assert timedelta(seconds=5) <= clock.since(start) < timedelta(seconds=6)


def test_other_runs_of_the_commit_are_not_shown(home: Home, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs of the same commit on another branch, or of a command, are not shown."""
    clock = FakeClock(datetime.now(UTC), auto_advance=True)
    store.queue.put("shop", [RunRequest(Trigger.HOOK, **COMMIT)])
    emit(store, "run.skipped", "run 1 skipped")
    for moves in (MAIN.replace("main", "other"), MAIN.replace(SHA, "f" * 40)):
        follow_push(home, moves, clock)
        assert capsys.readouterr().out.startswith("no run was queued within 5 s")
    follow_push(home, MAIN, clock)
    assert "run 1 skipped" in capsys.readouterr().out


def test_a_branch_that_is_deleted_is_nothing_to_follow(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """A deleted branch ends the command at once."""
    follow_push(home, f"{SHA} {'0' * 40} refs/heads/main\n")
    assert capsys.readouterr().out == ""


def test_without_a_daemon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a daemon, a message says that the push will be run later, even if a stale socket exists."""
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    home.daemon_socket.touch()
    follow_push(home, MAIN)
    assert capsys.readouterr().out.startswith("`pipeline serve` is not running")

"""What a pusher is shown: the runs of the commits that were pushed now, to their last word."""

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
    """One that a daemon serves, as far as a pusher can see."""
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    with work_lock(home.daemon_lock, "pipeline serve"):
        yield home


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    with Store(home.database) as store:
        yield store


def tell(store: Store, kind: str, message: str, **fields: str | int) -> None:
    store.events.record(Event(kind, message, "shop", 1, fields))


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was shown, without the time."""
    return [line.split("  ")[-1].strip() for line in capsys.readouterr().out.splitlines()]


def test_the_last_word_is_waited_for(home: Home, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """It is written when the run is over already; with it comes why."""
    clock = FakeClock(datetime.now(UTC))
    store.queue.put("shop", [RunRequest(Trigger.HOOK, **COMMIT)])
    tell(store, "run.queued", "run 1 queued by hook")
    store.runs.finish("shop", 1, RunState.FAILED, "the tests failed")
    following = threading.Thread(target=follow_push, args=(home, MAIN, clock))
    following.start()
    clock.wait_for_waiters()
    clock.advance(timedelta(seconds=4))
    clock.wait_for_waiters()
    tell(store, "run.finished", "run 1: failed", code=1, reason="the tests failed", tail="1 != 2")
    clock.advance_to_next_timeout()
    following.join(10)
    assert not following.is_alive()
    assert lines(capsys) == ["run 1 queued by hook", "run 1: failed", "the tests failed", "| 1 != 2"]


def test_a_last_word_that_never_comes(home: Home, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """The daemon was killed in between: the pusher is let go after five seconds."""
    clock = FakeClock(datetime.now(UTC), auto_advance=True)
    start = clock.now()
    store.queue.put("shop", [RunRequest(Trigger.HOOK, **COMMIT)])
    tell(store, "run.queued", "run 1 queued by hook")
    store.runs.finish("shop", 1, RunState.FAILED, "the tests failed")
    follow_push(home, MAIN, clock)
    assert lines(capsys) == ["run 1 queued by hook"]
    assert timedelta(seconds=5) <= clock.since(start) < timedelta(seconds=6)


def test_what_was_run_before_is_another_story(home: Home, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """The same commit on another branch, or by a command."""
    clock = FakeClock(datetime.now(UTC), auto_advance=True)
    store.queue.put("shop", [RunRequest(Trigger.HOOK, **COMMIT)])
    tell(store, "run.skipped", "run 1 skipped")
    for moves in (MAIN.replace("main", "other"), MAIN.replace(SHA, "f" * 40)):
        follow_push(home, moves, clock)
        assert capsys.readouterr().out.startswith("no run has come of this within 5 s")
    follow_push(home, MAIN, clock)
    assert "run 1 skipped" in capsys.readouterr().out


def test_a_branch_that_is_deleted_is_nothing_to_follow(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """It ends at once."""
    follow_push(home, f"{SHA} {'0' * 40} refs/heads/main\n")
    assert capsys.readouterr().out == ""


def test_nobody_serves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The push is kept, and that is said; a socket that a killed daemon left behind is no daemon."""
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    home.daemon_socket.touch()
    follow_push(home, MAIN)
    assert capsys.readouterr().out.startswith("nobody serves this repository now")

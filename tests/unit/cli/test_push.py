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
from pipeline.store import queue
from pipeline.store.queue import RunRequest
from pipeline.store.records import RunState, Trigger
from pipeline.store.store import Store
from pipeline.testing.fakes.clock import FakeClock
from tests.support.repository import Work
from tests.support.waiting import DEADLINE

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
    following.join(DEADLINE)
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


def follow_in_thread(home: Home, moves: str, clock: FakeClock) -> threading.Thread:
    """Start to follow, and return once it waits."""
    following = threading.Thread(target=follow_push, args=(home, moves, clock))
    following.start()
    clock.wait_for_waiters()
    return following


@pytest.mark.parametrize("pushes", [1, 2])
def test_a_commit_before_a_skipped_one_is_followed(
    home: Home, store: Store, capsys: pytest.CaptureFixture[str], pushes: int
) -> None:
    """Whether both came with one push or the first is still being built when the second comes."""
    clock = FakeClock(datetime.now(UTC))
    built = RunRequest(Trigger.HOOK, sha="f" * 40, ref="main")
    skipped = RunRequest(Trigger.HOOK, **COMMIT, skip_reason="the commit message contains [skip ci]")
    other = RunRequest(Trigger.HOOK, sha="e" * 40, ref="other")
    for requests in ([built, other, skipped],) if pushes == 1 else ([built], [other], [skipped]):
        store.queue.put("shop", requests, mode="queued")
    store.events.record(Event("run.skipped", "run 3 skipped", "shop", 3))
    following = follow_in_thread(home, MAIN, clock)
    emit(store, "run.finished", "run 1: succeeded")
    clock.advance_to_next_timeout()
    following.join(DEADLINE)
    assert not following.is_alive()
    assert lines(capsys) == ["run 3 skipped", "run 1: succeeded"]


def test_a_run_of_an_earlier_push_that_has_finished_is_not_followed(
    home: Home, store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A push of a skipped commit alone ends with it."""
    clock = FakeClock(datetime.now(UTC), auto_advance=True)
    with monkeypatch.context() as patch:
        patch.setattr(queue, "now", lambda: (clock.now().wall - timedelta(seconds=20)).isoformat())
        store.queue.put("shop", [RunRequest(Trigger.HOOK, sha="f" * 40, ref="main")])
    store.runs.finish("shop", 1, RunState.SUCCEEDED)
    emit(store, "run.finished", "run 1: succeeded")
    store.queue.put("shop", [RunRequest(Trigger.HOOK, **COMMIT, skip_reason="the commit message contains [skip ci]")])
    store.events.record(Event("run.skipped", "run 2 skipped", "shop", 2))
    follow_push(home, MAIN, clock)
    assert lines(capsys) == ["run 2 skipped"]


def test_two_refs_of_one_commit_are_followed(home: Home, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """A branch and a tag that are pushed together are two runs."""
    tag = COMMIT | {"ref": "v1"}
    store.queue.put("shop", [RunRequest(Trigger.HOOK, **COMMIT), RunRequest(Trigger.HOOK, **tag)], mode="queued")
    for number in (1, 2):
        store.runs.finish("shop", number, RunState.SUCCEEDED)
        store.events.record(Event("run.finished", f"run {number}: succeeded", "shop", number))
    follow_push(home, MAIN + MAIN.replace("heads/main", "tags/v1"), FakeClock(datetime.now(UTC), auto_advance=True))
    assert lines(capsys) == ["run 1: succeeded", "run 2: succeeded"]


def test_a_daemon_that_stops_ends_the_wait(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a daemon the run cannot finish. A restart of the daemon does not end it."""
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    clock = FakeClock(datetime.now(UTC))
    with Store(home.database) as store:
        with work_lock(home.daemon_lock, "pipeline serve"):
            store.queue.put("shop", [RunRequest(Trigger.HOOK, **COMMIT)])
            following = follow_in_thread(home, MAIN, clock)
        clock.advance(timedelta(seconds=5))
        clock.wait_for_waiters()
        with work_lock(home.daemon_lock, "pipeline serve"):
            clock.advance(timedelta(seconds=6))
            clock.wait_for_waiters()
        assert following.is_alive()
        clock.advance(timedelta(seconds=11))
        following.join(DEADLINE)
        assert not following.is_alive()
    assert lines(capsys) == ["`pipeline serve` is not running any more: run 1 continues after its start"]


def test_an_annotated_tag_is_followed(
    home: Home, store: Store, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git reports the id of the tag, and the run has that of its commit."""
    work = Work(tmp_path)
    work.commit("0")
    work.git("tag", "-a", "-m", "One", "v1")
    monkeypatch.chdir(work.path)
    store.queue.put("shop", [RunRequest(Trigger.HOOK, sha=work.git("rev-parse", "HEAD"), ref="v1")])
    store.runs.finish("shop", 1, RunState.SUCCEEDED)
    emit(store, "run.finished", "run 1: succeeded")
    moves = f"{'0' * 40} {work.git('rev-parse', 'v1')} refs/tags/v1\n"
    follow_push(home, moves, FakeClock(datetime.now(UTC), auto_advance=True))
    assert lines(capsys) == ["run 1: succeeded"]

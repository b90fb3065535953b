"""A follower sees each event once, in order, and a run's to the last one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.events import Event
from pipeline.store.event_follower import EventFollower
from pipeline.store.records import RunState
from pipeline.store.store import Store
from pipeline.testing.fakes.clock import FakeClock
from tests.support.started_runs import begin_run


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "penstock.db") as store:
        begin_run(store, "shop")
        yield store


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(auto_advance=True)


def emit(store: Store, kind: str, pipeline: str = "shop", run: int | None = 1) -> None:
    store.events.record(Event(kind, kind, pipeline, run))


def kinds(follower: EventFollower) -> list[str]:
    return [event.kind for _, event in follower.poll()]


def test_each_event_comes_once_and_in_order(store: Store, clock: FakeClock) -> None:
    """A follower yields each event of its run once, and none of other runs and pipelines."""
    follower = EventFollower(store, clock, pipeline="shop", run=1)
    emit(store, "run.started")
    emit(store, "run.started", run=2)
    emit(store, "run.started", "blog")
    assert kinds(follower) == ["run.started"]
    emit(store, "stage.started")
    emit(store, "stage.finished")
    assert kinds(follower) == ["stage.started", "stage.finished"]
    assert kinds(follower) == []
    assert not follower.over


def test_it_continues_from_an_id(store: Store, clock: FakeClock) -> None:
    """A follower that reconnects continues after the given id."""
    for kind in ("one", "two", "three"):
        emit(store, kind)
    ((_, first), (second, _), _) = EventFollower(store, clock, pipeline="shop").poll()
    assert first.kind == "one"
    assert kinds(EventFollower(store, clock, second, pipeline="shop")) == ["three"]


def test_without_a_run_it_has_no_end(store: Store, clock: FakeClock) -> None:
    """A follower without a run continues after a run's last event."""
    everything, shop = EventFollower(store, clock), EventFollower(store, clock, pipeline="shop")
    emit(store, "run.finished")
    emit(store, "serve.started", "blog", None)
    assert kinds(everything) == ["run.finished", "serve.started"]
    assert kinds(shop) == ["run.finished"]
    clock.advance(timedelta(hours=1))
    assert kinds(everything) == kinds(shop) == []
    assert not everything.over
    assert not shop.over


@pytest.mark.parametrize("kind", ["run.finished", "run.superseded", "run.skipped", "run.cancelled"])
def test_a_run_is_over_with_its_last_event(store: Store, clock: FakeClock, kind: str) -> None:
    """A follower of a run is over with the run's last event, without a wait."""
    emit(store, "run.started")
    emit(store, kind)
    follower = EventFollower(store, clock, pipeline="shop", run=1)
    assert [event.kind for event in follower.follow()] == ["run.started", kind]
    assert clock.waits == []


def test_the_last_event_is_waited_for(store: Store, clock: FakeClock) -> None:
    """A follower waits for a last event that is written after the outcome of the run."""
    store.runs.finish("shop", 1, RunState.SUCCEEDED)
    clock.call_at(timedelta(seconds=1.9), lambda: emit(store, "run.finished"))
    follower = EventFollower(store, clock, pipeline="shop", run=1)
    assert [event.kind for event in follower.follow()] == ["run.finished"]


def test_a_last_event_that_was_seen_is_not_waited_for_long(store: Store, clock: FakeClock) -> None:
    """A follower that starts after the last event gets nothing and ends after the grace period."""
    emit(store, "run.finished")
    store.runs.finish("shop", 1, RunState.SUCCEEDED)
    ((last, _),) = EventFollower(store, clock, pipeline="shop").poll()
    start = clock.now()
    assert list(EventFollower(store, clock, last, pipeline="shop", run=1).follow()) == []
    assert timedelta(seconds=2) <= clock.since(start) < timedelta(seconds=3)


def test_a_run_is_followed_for_as_long_as_it_takes(store: Store, clock: FakeClock) -> None:
    """A follower stays for hours while its run waits for approval."""
    clock.call_at(timedelta(minutes=2), lambda: emit(store, "run.finished"))
    start = clock.now()
    assert len(list(EventFollower(store, clock, pipeline="shop", run=1).follow())) == 1
    assert clock.since(start) >= timedelta(minutes=2)

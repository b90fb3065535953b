"""Timelines that are continued."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.event_kinds import EventKind
from pipeline.events import Events
from pipeline.http.run_timelines import RunTimelines
from pipeline.store.records import Run
from pipeline.store.store import Store
from tests.support.started_runs import begin_run


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.db") as store:
        begin_run(store, "shop")
        yield store


def run(store: Store, number: int = 1) -> Run:
    found = store.runs.get("shop", number)
    assert found is not None
    return found


def emit(store: Store, kind: EventKind, number: int = 1, **fields: str | float | None) -> None:
    events = Events("shop", number)
    events.subscribe(store.events.record)
    events.emit(kind, str(kind), service="web", release=2, **fields)


def test_a_second_look_reads_only_new_events(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the same timeline as one that reads all of them."""
    timelines, read = RunTimelines(store), list[int]()
    after = store.events.after

    def counted(*arguments: object, **more: object) -> object:
        found = after(*arguments, **more)  # type: ignore[arg-type]
        read.append(len(found))
        return found

    monkeypatch.setattr(store.events, "after", counted)
    for turn in range(3):
        for kind in (EventKind.CONTAINER_STARTING, EventKind.TARGET_REGISTERED, EventKind.TARGET_HEALTHY):
            emit(store, kind, target=f"new{turn}", healthy=turn)
        emit(store, EventKind.TARGET_DRAINING, target=f"old{turn}")
        found = timelines.of(run(store))
        assert sum(read) == 4
        read.clear()
        assert found == RunTimelines(store).of(run(store))
        read.clear()
    assert [len(lane.phases) for lane in found.services[0].lanes] == [3, 2] * 3
    assert timelines.of(run(store)) == found


def test_a_run_that_starts_is_read_again(store: Store) -> None:
    """Until it starts, its start is the time at which it was queued."""
    timelines, queued = RunTimelines(store), run(store)
    emit(store, EventKind.TARGET_DRAINING, target="old")
    before = timelines.of(queued)
    started = store.runs.get("shop", 1)
    assert started is not None
    later = started.__class__(**{**vars(started), "started_at": started.started_at.replace(year=2000)})
    assert timelines.of(later).services[0].lanes[0].phases[0].started_at.year == 2000
    assert timelines.of(queued) == before


def test_only_the_latest_are_kept(store: Store) -> None:
    """More runs are looked at than are kept, and each is right."""
    timelines = RunTimelines(store)
    for number in range(1, 30):
        if number > 1:
            store.runs.finish("shop", number - 1, run(store).state.SUCCEEDED)
            begin_run(store, "shop")
        emit(store, EventKind.TARGET_HEALTHY, number, target=f"target{number}")
    for number in (*range(1, 30), 1):
        (service,) = timelines.of(run(store, number)).services
        assert [lane.target for lane in service.lanes] == [f"target{number}"]

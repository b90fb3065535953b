"""Events on disk, and in memory while the disk is full."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.base.errors import StoreFault
from pipeline.events import Event
from pipeline.store.store import Store
from tests.unit.store.filling import fill


def test_an_event_is_read_as_it_was_recorded(store: Store) -> None:
    """An event is read with its fields and its time."""
    event = Event("x", "text", "shop", 3, {"n": 1, "name": None}, datetime(2020, 1, 1, tzinfo=UTC))
    store.events.record(event)
    assert store.events.latest("shop") == [event]


def test_the_latest_events_are_in_order(store: Store) -> None:
    """The latest events of a pipeline or of one run are returned oldest first."""
    for number in range(5):
        store.events.record(Event("x", str(number), "shop", number % 2, {"n": number}))
    assert [e.message for e in store.events.latest("shop")] == ["0", "1", "2", "3", "4"]
    assert [e.fields["n"] for e in store.events.latest("shop", run=1)] == [1, 3]
    assert [e.message for e in store.events.latest("shop", limit=2)] == ["3", "4"]


def test_a_follower_continues_after_the_last_event_it_has_read(store: Store) -> None:
    """A follower gets the later events of one pipeline, of one run, or of all pipelines."""
    for number, pipeline in enumerate(("shop", "blog", "shop", "shop")):
        store.events.record(Event("x", str(number), pipeline, number))
    assert [e.message for _, e in store.events.after(None, 0)] == ["0", "1", "2", "3"]
    assert [e.message for _, e in store.events.after("shop", 0, run=2)] == ["2"]
    (last, first), *_ = store.events.after("shop", 0)
    assert first.message == "0"
    assert [e.message for _, e in store.events.after("shop", last)] == ["2", "3"]
    assert [e.message for _, e in store.events.after("shop", last, 1)] == ["2"]


def test_a_buffered_event_is_written_when_there_is_space(small_disk: Path) -> None:
    """The caller of `buffer` continues while the disk is full, and the order of events stays."""
    with Store(small_disk / "db") as store:
        with pytest.raises(StoreFault):
            fill(store)
        written = len(store.events.latest("shop", limit=10_000))
        for message in ("first", "second"):
            store.events.buffer(Event("x", message * 1000, "shop"))
        assert len(store.events.latest("shop", limit=10_000)) == written
        subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
        store.events.flush()
        assert [event.message[:6] for event in store.events.latest("shop", limit=2)] == ["firstf", "second"]

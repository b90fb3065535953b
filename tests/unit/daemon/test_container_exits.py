"""What the daemon remembers of containers that have exited."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path

from pipeline.daemon.container_exits import ContainerExits, is_stopped
from pipeline.engine.interfaces import ReplicaChange
from pipeline.event_kinds import EventKind
from pipeline.events import Events
from pipeline.store.store import Store
from pipeline.testing.fakes.clock import FakeClock


def test_an_exit_stays_until_the_container_starts() -> None:
    """A container that is down is shown for any time, and one that runs again for a minute."""
    clock = FakeClock()
    exits = ContainerExits(clock)
    at = clock.now()
    exits.on_change(ReplicaChange("shop", "shop.web.r1.1", 137))
    clock.advance(timedelta(hours=1))
    (found,) = exits.all().items()
    assert (found[0], found[1].exit_code, found[1].at, found[1].is_down) == ("shop.web.r1.1", 137, at, True)
    exits.on_change(ReplicaChange("shop", "shop.web.r1.1"))
    assert exits.all() == {}


def test_a_container_that_is_replaced_at_once() -> None:
    """Its exit is shown for a minute all the same."""
    clock = FakeClock()
    exits = ContainerExits(clock)
    exits.on_change(ReplicaChange("shop", "shop.web.r1.1", 1))
    exits.on_change(ReplicaChange("shop", "shop.web.r1.1"))
    clock.advance(timedelta(seconds=60))
    assert [found.is_down for found in exits.all().values()] == [False]
    clock.advance(timedelta(seconds=1))
    assert exits.all() == {}


def test_what_the_engine_has_not_reported_is_not_shown() -> None:
    """After a lost connection, containers count as running. One that never exited is not remembered."""
    exits = ContainerExits(FakeClock())
    exits.on_change(ReplicaChange("shop", "shop.web.r1.1"))
    exits.on_change(ReplicaChange("shop", "shop.web.r1.2", 0))
    exits.on_change(None)
    assert [(name, found.is_down) for name, found in exits.all().items()] == [("shop.web.r1.2", False)]


def test_the_number_is_bounded() -> None:
    """Of very many containers, the latest are kept."""
    exits = ContainerExits(FakeClock())
    for number in range(1005):
        exits.on_change(ReplicaChange("shop", f"shop.web.r1.{number}", 1))
    assert list(exits.all())[::999] == ["shop.web.r1.5", "shop.web.r1.1004"]


def test_a_container_that_was_stopped_on_purpose_is_no_news(tmp_path: Path) -> None:
    """Its exit follows the event of a deployment or a repair. One that drains and crashes is news."""
    with Store(tmp_path / "db") as store:
        exits = ContainerExits(FakeClock(), partial(is_stopped, store.events))
        events = Events("shop")
        events.subscribe(store.events.record)
        events.emit(EventKind.TARGET_DRAINING, "drains", target="shop.web.r1.1")
        events.emit(EventKind.CONTAINER_STOPPING, "stops", target="shop.web.r1.2")
        for name in ("shop.web.r1.1", "shop.web.r1.2"):
            exits.on_change(ReplicaChange("shop", name, 0))
        exits.on_change(ReplicaChange("ads", "shop.web.r1.2", 0))
        assert list(exits.all()) == ["shop.web.r1.1", "shop.web.r1.2"]
        exits.on_change(ReplicaChange("shop", "shop.web.r1.2", 0))
        assert list(exits.all()) == ["shop.web.r1.1"]


def test_an_exit_counts_as_news_if_the_database_cannot_tell(tmp_path: Path) -> None:
    """A fault of the database hides no crash."""
    store = Store(tmp_path / "db")
    exits = ContainerExits(FakeClock(), partial(is_stopped, store.events))
    store.close()
    exits.on_change(ReplicaChange("shop", "shop.web.r1.1", 1))
    assert list(exits.all()) == ["shop.web.r1.1"]

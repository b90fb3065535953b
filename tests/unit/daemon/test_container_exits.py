"""What the daemon remembers of containers that have exited."""

from __future__ import annotations

from datetime import timedelta

from pipeline.daemon.container_exits import ContainerExits
from pipeline.engine.interfaces import ReplicaChange
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

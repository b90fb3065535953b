"""Replicas that move between a Swarm and hosts."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipeline.base.errors import EngineFault
from pipeline.engine.moving_runtime import MovingRuntime
from pipeline.engine.patient_runtime import PatientRuntime
from pipeline.engine.runtime import ReplicaSpec, StopResult
from pipeline.testing.fakes.clock import FakeClock
from pipeline.testing.fakes.runtime import FakeRuntime
from tests.support.host_world import HostWorld

GRACE = timedelta(seconds=1)


class Move:
    """A pipeline that moves from one host to a Swarm, or back."""

    def __init__(self, *taking: str) -> None:
        self.world = HostWorld({"one": "a"}, FakeClock(auto_advance=True))
        self.swarm = FakeRuntime()
        hosts = self.world.runtime(taking=[name for name in taking if name == "one"])
        self.runtime = MovingRuntime(
            self.swarm, PatientRuntime(hosts), frozenset({"one"}), hosts.place_on, taking=taking
        )

    def start(self, name: str) -> None:
        """Start a replica where they move to."""
        self.runtime.start(ReplicaSpec("shop", 1, 1, "t1", "app", 8080, name=name))

    def replicas(self) -> list[tuple[str, bool]]:
        """Return the replicas, and whether each is leaving."""
        return sorted((each.name, each.is_leaving) for each in self.runtime.list("shop"))


def test_replicas_start_where_they_move_to() -> None:
    """Those at the other place are leaving, and a failure may turn it round."""
    move = Move("one")
    move.start("shop.web.r1.a")
    move.runtime.place_on(["swarm"])
    move.start("shop.web.r1.b")
    assert move.replicas() == [("shop.web.r1.a", True), ("shop.web.r1.b", False)]
    move.runtime.place_on(["one"])
    assert move.replicas() == [("shop.web.r1.a", False), ("shop.web.r1.b", True)]
    assert move.runtime.stop("shop.web.r1.b", GRACE) is not StopResult.NOT_RUNNING
    move.runtime.remove("shop.web.r1.b")
    assert move.replicas() == [("shop.web.r1.a", False)]


def test_former_hosts_that_are_lost_do_not_stop_a_move_to_the_swarm() -> None:
    """They are lost although they were listed before, and what is done for a replica there does nothing."""
    move = Move("one")
    move.start("shop.web.r1.a")
    move.runtime.place_on(["swarm"])
    assert (move.replicas(), move.runtime.lost) == ([("shop.web.r1.a", True)], ())
    move.world.lose("one")
    assert (move.replicas(), move.runtime.lost) == ([], ("one",))
    assert move.runtime.stop("shop.web.r1.a", GRACE) is StopResult.NOT_RUNNING
    assert move.runtime.ended("shop.web.r1.a") is None
    assert move.runtime.tail("shop.web.r1.a") == ()
    move.runtime.remove("shop.web.r1.a")
    move.start("shop.web.r1.b")
    assert move.replicas() == [("shop.web.r1.b", False)]


def test_lost_hosts_that_take_replicas_stop_a_move() -> None:
    """Nothing can be started."""
    move = Move("one")
    move.world.lose("one")
    with pytest.raises(EngineFault, match="all hosts are lost"):
        move.replicas()

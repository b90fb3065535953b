"""Replicas that move between a Swarm and hosts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from pipeline.base.errors import EngineFault
from pipeline.engine.moving_runtime import MovingRuntime
from pipeline.engine.runtime import ReplicaSpec, RestartPolicy, StopResult
from pipeline.engine.swarm.runtime import SwarmRuntime
from pipeline.testing.fakes.program import Program
from pipeline.testing.fakes.runtime import FakeRuntime
from pipeline.testing.fakes.swarm import FakeSwarm

SPEC = ReplicaSpec("shop", 1, 1, "c0ffee", "app", 8080, name="shop.web.r1.old")
NEW = replace(SPEC, name="shop.web.r1.new")
SECOND = timedelta(seconds=1)


class Hosts(FakeRuntime):
    """Hosts that may be lost, of which `app1` may take replicas."""

    lost: tuple[str, ...] = ()
    taking: tuple[str, ...] = ()

    def place_on(self, names: object) -> None:
        """Let these hosts take replicas."""
        self.taking = tuple(names)  # type: ignore[call-overload]


@pytest.fixture
def hosts() -> Hosts:
    """Hosts with a replica."""
    made = Hosts(program=lambda _: Program(lines=("on a host",)))
    made.prepare("shop")
    made.start(SPEC)
    return made


@pytest.fixture
def swarm() -> SwarmRuntime:
    """A Swarm without one."""
    return SwarmRuntime(FakeSwarm(program=lambda _: Program(lines=("in the swarm",))))


def moving(swarm: SwarmRuntime, hosts: Hosts, *taking: str) -> MovingRuntime:
    """Return the runtime of both."""
    return MovingRuntime(swarm, hosts, frozenset({"app1"}), hosts.place_on, taking=taking)


def test_new_replicas_start_in_the_swarm_that_takes_them(swarm: SwarmRuntime, hosts: Hosts) -> None:
    """The hosts themselves let theirs leave: none of them takes replicas."""
    runtime = moving(swarm, hosts, "swarm")
    runtime.start(NEW)
    assert [replica.name for replica in runtime.list("shop")] == [NEW.name, SPEC.name]
    assert [replica.name for replica in swarm.list("shop")] == [NEW.name]


def test_replicas_in_a_swarm_that_takes_none_are_leaving(swarm: SwarmRuntime, hosts: Hosts) -> None:
    """New ones start on hosts."""
    swarm.start(NEW)
    runtime = moving(swarm, hosts, "app1")
    another = replace(SPEC, name="shop.web.r1.third")
    runtime.start(another)
    leaving = {replica.name: replica.is_leaving for replica in runtime.list("shop")}
    assert leaving == {NEW.name: True, SPEC.name: False, another.name: False}


@pytest.mark.parametrize("is_listed", [True, False])
def test_each_call_goes_to_where_the_replica_is(swarm: SwarmRuntime, hosts: Hosts, *, is_listed: bool) -> None:
    """Also in a process that has listed none."""
    swarm.start(NEW)
    runtime = moving(swarm, hosts, "swarm")
    if is_listed:
        runtime.list("shop")
    assert runtime.tail(SPEC.name) == ("on a host",)
    assert runtime.tail(NEW.name) == ("in the swarm",)
    runtime.set_restart_policy(SPEC.name, RestartPolicy.ALWAYS)
    assert hosts.policies == {SPEC.name: RestartPolicy.ALWAYS}
    assert runtime.stop(SPEC.name, SECOND) is StopResult.TERMINATED
    assert runtime.stop(NEW.name, SECOND) is StopResult.TERMINATED
    for name in (SPEC.name, NEW.name):
        runtime.remove(name)
        assert runtime.ended(name) is None
    assert runtime.list("shop") == ()


def test_a_deployment_that_fails_goes_back(swarm: SwarmRuntime, hosts: Hosts) -> None:
    """Replicas start on hosts again, and those in the Swarm are leaving."""
    runtime = moving(swarm, hosts, "swarm")
    runtime.start(NEW)
    runtime.place_on(["app1"])
    assert hosts.taking == ("app1",)
    found = {replica.name: replica.is_leaving for replica in runtime.list("shop")}
    assert found == {NEW.name: True, SPEC.name: False}
    runtime.place_on(["swarm"])
    assert hosts.taking == ()


def test_lost_hosts_do_not_keep_replicas_from_the_swarm(swarm: SwarmRuntime, hosts: Hosts) -> None:
    """They have no replicas then, as far as is known. A fault of hosts that are not lost is one."""
    runtime = moving(swarm, hosts, "swarm")
    runtime.start(NEW)
    hosts.faults.fail("list", EngineFault("all hosts are lost"), times=2)
    with pytest.raises(EngineFault, match="all hosts are lost"):
        runtime.list("shop")
    hosts.lost = ("app1",)
    assert [replica.name for replica in runtime.list("shop")] == [NEW.name]
    assert runtime.lost == ("app1",)


def test_hosts_that_take_replicas_must_answer(swarm: SwarmRuntime, hosts: Hosts) -> None:
    """Otherwise the rollout would start replicas that exist."""
    runtime = moving(swarm, hosts, "app1")
    hosts.lost = ("app1",)
    hosts.faults.fail("list", EngineFault("all hosts are lost"))
    with pytest.raises(EngineFault, match="all hosts are lost"):
        runtime.list("shop")

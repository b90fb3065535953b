"""The runtime of a Swarm that loses nodes, its leader, or its patience."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from pipeline.base.errors import EngineFault, StageFailed
from pipeline.engine.container import HealthProbe
from pipeline.engine.runtime import ReplicaSpec, RestartPolicy, StopResult
from pipeline.engine.swarm.runtime import SwarmRuntime
from pipeline.engine.swarm.swarm import Availability, SwarmNode
from pipeline.engine.swarm_options import SwarmOptions, SwarmSecret
from pipeline.testing.fakes.clock import FakeClock
from pipeline.testing.fakes.program import Program
from pipeline.testing.fakes.swarm import FakeSwarm

NAME = "shop.web.r1.abc"
SPEC = ReplicaSpec("shop", 1, 1, "c0ffee", "app", 8080, name=NAME)
NODES = [SwarmNode(f"n{number}", f"node{number}", f"10.0.0.{number}") for number in (1, 2)]
NO_LEADER = "the Swarm cannot decide anything now: The swarm does not have a leader"


@pytest.fixture
def swarm() -> FakeSwarm:
    """A Swarm of two nodes."""
    return FakeSwarm(*NODES)


@pytest.fixture
def runtime(swarm: FakeSwarm) -> SwarmRuntime:
    """Its runtime, whose time passes while it waits."""
    return SwarmRuntime(swarm, clock=FakeClock(auto_advance=True))


def test_a_replica_of_a_lost_node_is_listed_where_it_runs_again(swarm: FakeSwarm, runtime: SwarmRuntime) -> None:
    """Under the same name, with another address."""
    runtime.start(SPEC)
    runtime.set_restart_policy(NAME, RestartPolicy.ALWAYS)
    (before,) = runtime.list("shop")
    swarm.lose_node("n1")
    (after,) = runtime.list("shop")
    assert (before.host, after.host, after.running) == ("node1", "node2", True)
    assert before.address != after.address
    swarm.return_node("n1")
    assert runtime.list("shop") == (after,)


def test_a_stop_on_a_lost_node_returns(swarm: FakeSwarm, runtime: SwarmRuntime) -> None:
    """The replica cannot be stopped, and nothing reaches it."""
    runtime.start(replace(SPEC, swarm=SwarmOptions(("node.hostname==node1",))))
    swarm.lose_node("n1")
    assert runtime.stop(NAME, timedelta(seconds=1)) is StopResult.NOT_RUNNING


@pytest.mark.parametrize(
    "call",
    [
        lambda runtime: runtime.prepare("shop"),
        lambda runtime: runtime.list("shop"),
        lambda runtime: runtime.start(SPEC),
        lambda runtime: runtime.stop(NAME, timedelta(seconds=1)),
        lambda runtime: runtime.remove(NAME),
        lambda runtime: runtime.ended(NAME),
        lambda runtime: runtime.tail(NAME),
        lambda runtime: runtime.set_restart_policy(NAME, RestartPolicy.ALWAYS),
        lambda runtime: runtime.clear("shop"),
    ],
)
def test_without_a_leader_every_call_fails(
    swarm: FakeSwarm, runtime: SwarmRuntime, call: Callable[[SwarmRuntime], object]
) -> None:
    """So nothing is decided. It is no lost host, whose replicas would be replaced."""
    swarm.lose_quorum()
    with pytest.raises(EngineFault, match=NO_LEADER):
        call(runtime)
    assert runtime.lost == ()
    swarm.regain_quorum()
    assert runtime.list("shop") == ()


def test_what_a_deposed_leader_lists_is_not_believed(swarm: FakeSwarm, runtime: SwarmRuntime) -> None:
    """A change that it alone knows of may not be true. What was confirmed before may be listed again."""
    runtime.start(SPEC)
    runtime.list("shop")
    swarm.lose_quorum(cut_off=True)
    assert [replica.running for replica in runtime.list("shop")] == [True]
    swarm.exit(NAME, 1)
    with pytest.raises(EngineFault, match=NO_LEADER):
        runtime.list("shop")
    swarm.regain_quorum()
    assert [replica.running for replica in runtime.list("shop")] == [False]


def test_an_unchanged_list_costs_no_change_of_the_swarm(swarm: FakeSwarm, runtime: SwarmRuntime) -> None:
    """It is asked for 40 times a second."""
    runtime.start(SPEC)
    for _ in range(5):
        runtime.list("shop")
    assert swarm.faults.calls["confirm"] == 1


def test_a_pipeline_without_replicas_leaves_nothing_in_the_swarm(swarm: FakeSwarm, runtime: SwarmRuntime) -> None:
    """A look after `clear` writes nothing. That the last replica is gone is confirmed."""
    runtime.list("shop")
    assert not swarm.faults.calls["confirm"]
    runtime.start(SPEC)
    runtime.list("shop")
    runtime.remove(NAME)
    runtime.list("shop")
    assert swarm.faults.calls["confirm"] == 2
    runtime.clear("shop")
    runtime.list("shop")
    assert swarm.faults.calls["confirm"] == 2


def test_a_replica_that_no_node_can_run_is_not_started(swarm: FakeSwarm, runtime: SwarmRuntime) -> None:
    """After ten seconds: a node that was lost may come back."""
    wanted = replace(SPEC, swarm=SwarmOptions(("node.labels.disk==ssd",)))
    with pytest.raises(StageFailed, match=f"{NAME} cannot be started: no suitable node"):
        runtime.start(wanted)
    assert runtime.list("shop") == ()


def test_a_secret_that_does_not_exist_is_named(runtime: SwarmRuntime) -> None:
    """And nothing is started."""
    wanted = replace(SPEC, swarm=SwarmOptions(secrets=(SwarmSecret("db", "db"),)))
    with pytest.raises(StageFailed, match=f"{NAME} cannot be started: the Swarm has no secret db"):
        runtime.start(wanted)
    assert runtime.list("shop") == ()


def test_an_interrupted_start_is_listed(swarm: FakeSwarm, runtime: SwarmRuntime) -> None:
    """The answer is lost, and the next start finds the replica."""
    swarm.faults.lose_answer("create")
    with pytest.raises(EngineFault, match="lost the response"):
        runtime.start(SPEC)
    assert [replica.name for replica in runtime.list("shop")] == [NAME]
    runtime.start(SPEC)
    assert len(runtime.list("shop")) == 1


def test_a_stop_without_an_end_has_a_deadline(swarm: FakeSwarm, runtime: SwarmRuntime) -> None:
    """A Swarm that accepts a change need not act on it."""
    runtime.start(SPEC)
    service = swarm.find(NAME)
    assert service is not None
    swarm.set_label(service.id, "penstock.stopped", "true")
    with pytest.raises(EngineFault, match=f"the Swarm does not act: {NAME} has not exited within 5 s of its stop"):
        runtime.stop(NAME, timedelta(seconds=5))


def test_a_policy_for_a_replica_that_has_ended_changes_nothing(swarm: FakeSwarm, runtime: SwarmRuntime) -> None:
    """It ended before it was healthy, although the Swarm has started it again."""
    runtime.start(SPEC)
    swarm.exit(NAME, 3)
    runtime.set_restart_policy(NAME, RestartPolicy.ALWAYS)
    (found,) = runtime.list("shop")
    assert not found.running


def test_stopping_a_replica_that_has_ended_ends_its_restarts(swarm: FakeSwarm, runtime: SwarmRuntime) -> None:
    """The Swarm would start it again and again."""
    runtime.start(SPEC)
    swarm.exit(NAME, 3)
    assert runtime.stop(NAME, timedelta(seconds=1)) is StopResult.NOT_RUNNING
    service = swarm.find(NAME)
    assert service is not None
    assert not [task for task in swarm.tasks_of(service.id) if task.node and not task.state.has_ended]


def test_replicas_on_drained_nodes_are_leaving(swarm: FakeSwarm) -> None:
    """And new ones are started elsewhere, also while the Swarm itself still has the node in use."""
    SwarmRuntime(swarm).start(SPEC)
    draining = SwarmRuntime(swarm, drained=["node1"])
    assert [replica.is_leaving for replica in draining.list("shop")] == [True]
    for number in range(3):
        draining.start(replace(SPEC, name=f"shop.web.r1.{number}"))
    assert {replica.host for replica in draining.list("shop") if not replica.is_leaving} == {"node2"}


def test_a_drain_of_the_swarm_itself_moves_a_replica(swarm: FakeSwarm, runtime: SwarmRuntime) -> None:
    """By another program: it stops the task first."""
    runtime.start(SPEC)
    runtime.set_restart_policy(NAME, RestartPolicy.ALWAYS)
    swarm.set_availability("n1", Availability.DRAIN)
    (found,) = runtime.list("shop")
    assert (found.host, found.running) == ("node2", True)


def test_nodes_get_an_image_under_its_reference(swarm: FakeSwarm) -> None:
    """Such as a digest of a registry."""
    swarm.missing_images.add("app")
    SwarmRuntime(swarm, reference=lambda image: f"registry.example.com/{image}@sha256:1").start(SPEC)


@pytest.mark.parametrize(("healthcheck", "has_health"), [(("true",), True), (None, False)])
def test_the_healthcheck_of_an_image_counts_where_no_command_is_set(
    healthcheck: tuple[str, ...] | None, *, has_health: bool
) -> None:
    """A manager does not tell whether the image has one."""
    swarm = FakeSwarm(program=lambda _: Program(commands={("true",): 0}, healthcheck=healthcheck))
    runtime = SwarmRuntime(swarm, lambda _: healthcheck)
    second = timedelta(seconds=1)
    runtime.start(replace(SPEC, probe=HealthProbe(None, second, second, 1)))
    (found,) = runtime.list("shop")
    assert (found.health is not None) is has_health

"""Nodes of a Swarm that are drained and opened again."""

from __future__ import annotations

from dataclasses import replace

from pipeline.engine.runtime import ReplicaSpec
from pipeline.engine.swarm.nodes import close_node, find_node, open_node
from pipeline.engine.swarm.runtime import SwarmRuntime
from pipeline.engine.swarm.swarm import Availability, SwarmNode
from pipeline.testing.fakes.swarm import FakeSwarm

NODES = [SwarmNode(f"n{number}", f"node{number}", f"10.0.0.{number}") for number in (1, 2)]
SPEC = ReplicaSpec("shop", 1, 1, "c0ffee", "app", 8080, name="shop.web.r1.abc")


def test_an_empty_node_is_drained_and_opened_again() -> None:
    """Its availability is that of the Swarm."""
    swarm = FakeSwarm(*NODES)
    assert close_node(swarm, "node1") is Availability.DRAIN
    assert [node.availability for node in swarm.nodes()] == [Availability.DRAIN, Availability.ACTIVE]
    open_node(swarm, "node1")
    assert {node.availability for node in swarm.nodes()} == {Availability.ACTIVE}


def test_a_node_with_tasks_of_others_is_paused() -> None:
    """A drain of the Swarm stops them before they run elsewhere."""
    swarm = FakeSwarm(*NODES)
    SwarmRuntime(swarm).start(SPEC)
    assert close_node(swarm, "node1") is Availability.PAUSE
    (replica,) = SwarmRuntime(swarm).list("shop")
    assert (replica.host, replica.running) == ("node1", True)


def test_a_node_that_does_not_exist_is_left_alone() -> None:
    """It may have left the Swarm meanwhile."""
    swarm = FakeSwarm(*NODES)
    assert close_node(swarm, "node3") is None
    open_node(swarm, "node3")
    assert {node.availability for node in swarm.nodes()} == {Availability.ACTIVE}


def test_the_node_that_is_ready_counts_among_those_of_a_name() -> None:
    """A machine that has left and joined again is listed twice."""
    former = replace(NODES[0], id="n0", is_ready=False)
    found = find_node(FakeSwarm(former, *NODES), "node1")
    assert found is not None
    assert found.id == "n1"

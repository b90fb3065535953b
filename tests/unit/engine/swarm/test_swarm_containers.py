"""Containers and commands in a Swarm, by its managers and by the engines of its nodes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

from pipeline.base.errors import EngineFault, StageFailed
from pipeline.engine.console import Console
from pipeline.engine.container import ContainerSpec
from pipeline.engine.interfaces import Engine
from pipeline.engine.runtime import ReplicaSpec, RestartPolicy
from pipeline.engine.swarm.runtime import SwarmRuntime
from pipeline.engine.swarm.swarm import SwarmNode
from pipeline.engine.swarm_containers import NodeConnections, SwarmConsole, SwarmContainers
from pipeline.testing.fakes.console import FakeConsole
from pipeline.testing.fakes.engine import FakeEngine
from pipeline.testing.fakes.program import Program
from pipeline.testing.fakes.swarm import FakeSwarm

NAME = "shop.web.r1.abc"
SPEC = ReplicaSpec("shop", 1, 1, "c0ffee", "app", 8080, name=NAME)
NODES = [SwarmNode(f"n{number}", f"node{number}", f"10.0.0.{number}") for number in (1, 2)]
EXIT_3 = ("exit", "3")


@pytest.fixture
def swarm() -> FakeSwarm:
    """A Swarm of two nodes with a replica on the first."""
    made = FakeSwarm(*NODES, program=lambda _: Program(lines=("ready",)))
    SwarmRuntime(made).start(SPEC)
    return made


@pytest.fixture
def engine(swarm: FakeSwarm) -> FakeEngine:
    """The engine of a node, with the container of the replica."""
    made = FakeEngine(program=lambda _: Program(commands={EXIT_3: 3}, cpu=0.5))
    made.networks.ensure("shop")
    (task,) = swarm.tasks("shop")
    made.containers.start(ContainerSpec(task.container, made.images.add("app"), {}, network=made.networks.name("shop")))
    return made


def containers(swarm: FakeSwarm, local: Engine, **nodes: Callable[[], Engine]) -> SwarmContainers:
    """Return the containers of a Swarm of which some nodes are known."""
    return SwarmContainers(swarm, NodeConnections(swarm, local, nodes))


def test_a_replica_is_a_container_on_its_node(swarm: FakeSwarm) -> None:
    """With the labels of its service, and the role that replicas have."""
    found = containers(swarm, FakeEngine())
    (listed,) = found.for_pipeline("shop")
    assert (listed.name, listed.host, listed.is_running) == (NAME, "node1", True)
    assert listed.labels["penstock.role"] == "app"
    assert found.find(NAME) == found.inspect(listed.id) == listed
    assert found.find("other") is None
    assert found.for_pipeline("shop", "job") == []
    assert found.logs(listed.id) == ("ready",)


@pytest.mark.parametrize("name", ["local", "known"])
def test_a_command_runs_on_the_node_of_the_replica(swarm: FakeSwarm, engine: FakeEngine, name: str) -> None:
    """By the local engine if that is the node, else by the one that is known under the name of the node."""
    other = FakeEngine()
    found = containers(swarm, engine) if name == "local" else containers(swarm, other, node1=lambda: engine)
    (listed,) = found.for_pipeline("shop")
    assert found.exec(listed.id, EXIT_3, timedelta(seconds=1), threading.Event()) == 3
    assert found.cpu_time(listed.id) is not None


def test_a_node_that_is_not_known_is_named(swarm: FakeSwarm) -> None:
    """With what to write. Its use of CPU is not known either."""
    swarm.lose_node("n1")
    SwarmRuntime(swarm).set_restart_policy(NAME, RestartPolicy.ALWAYS)
    found = containers(swarm, FakeEngine())
    (listed,) = found.for_pipeline("shop")
    with pytest.raises(StageFailed, match="the container is on node node2, whose engine is not known here") as caught:
        found.exec(listed.id, EXIT_3, timedelta(seconds=1), threading.Event())
    assert caught.value.hint == "add it to deploy.hosts and deploy: {name: node2, docker: ssh://USER@node2}"
    assert found.cpu_time(listed.id) is None
    assert found.cpus(listed.id) is None


def test_a_replica_that_is_gone_has_no_container(swarm: FakeSwarm) -> None:
    """It is removed as a service."""
    found = containers(swarm, FakeEngine())
    (listed,) = found.for_pipeline("shop")
    found.remove(listed.id)
    assert found.for_pipeline("shop") == []
    with pytest.raises(EngineFault, match="No such task"):
        found.inspect(listed.id)


def test_the_console_reads_the_output_of_the_task(swarm: FakeSwarm) -> None:
    """By the manager, with the id of the task."""
    asked = []
    closed = []
    local: Console = FakeConsole(FakeEngine().containers)

    def log(*call: object) -> None:
        asked.append(call)

    connections: NodeConnections[Console] = NodeConnections(swarm, local, {})
    console = SwarmConsole(swarm, connections, log, lambda: closed.append(1))
    (listed,) = console.containers("shop")
    assert console.has(NAME)
    assert not console.has("other")
    console.log(listed.id, b"2026", follow=True)
    console.log(listed.id, tail=5)
    assert asked == [(listed.id, b"2026", True, None), (listed.id, b"", False, 5)]
    with pytest.raises(StageFailed, match="No such container: other"):
        console.exec("other", ["true"], tty=False)
    console.close()
    assert closed == [1]

"""Docker's runtime on a fake engine: containers of earlier versions, other hosts, and faults."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from pipeline.base.errors import EngineFault, PortTaken, StageFailed
from pipeline.engine.container import ContainerSpec, PublishedPort
from pipeline.engine.docker.runtime import DockerRuntime
from pipeline.engine.host import HostSpec
from pipeline.engine.hosts import host_at, local_host
from pipeline.engine.labels import (
    LABEL_GRACE,
    LABEL_PIPELINE,
    LABEL_PORT,
    LABEL_RELEASE,
    LABEL_ROLE,
    LABEL_TEMPLATE,
    ROLE_APP,
)
from pipeline.engine.runtime import ReplicaSpec, StopResult
from pipeline.testing.fakes.engine import FakeEngine
from pipeline.testing.fakes.program import Program

SPEC = ReplicaSpec(
    pipeline="shop", release=2, run=5, template="c0ffee", image="app", port=8080, name="shop.web.r2.aaaaaa"
)
# The labels of a container that a version without services started.
OLD_LABELS = {
    LABEL_PIPELINE: "shop",
    LABEL_ROLE: ROLE_APP,
    LABEL_RELEASE: "1",
    LABEL_TEMPLATE: "decade",
    LABEL_GRACE: "2.5",
}


@pytest.fixture
def engine() -> FakeEngine:
    """An engine that has the image."""
    engine = FakeEngine()
    engine.images.add("app")
    return engine


@pytest.fixture
def runtime(engine: FakeEngine) -> DockerRuntime:
    """A runtime on this machine."""
    return DockerRuntime(local_host(engine))


def test_a_port_that_is_in_use_is_replaced(engine: FakeEngine) -> None:
    """The host of another machine has its own ports. Another one is tried, with the label that names it."""
    runtime = DockerRuntime(host_at(HostSpec("app1", "ssh://app1", address="10.0.0.11"), engine))
    engine.faults.fail("containers.start", PortTaken("in use"), times=3)
    runtime.start(SPEC)
    (found,) = runtime.list("shop")
    assert (found.host, found.address, engine.faults.calls["containers.start"]) == ("app1", "10.0.0.11", 4)
    assert found.port == int(found.labels[LABEL_PORT])


def test_a_port_stays_bound_to_the_address_that_the_host_had(engine: FakeEngine) -> None:
    """A host that gets another address in pipeline.yaml has it for new containers."""
    for number in (1, 2):
        spec = HostSpec("app1", "ssh://app1", address=f"10.0.0.{number}")
        DockerRuntime(host_at(spec, engine)).start(replace(SPEC, name=f"shop.r1.{number}"))
    found = DockerRuntime(host_at(HostSpec("app1", "ssh://app1", address="10.0.0.3"), engine)).list("shop")
    assert sorted(replica.address for replica in found) == ["10.0.0.1", "10.0.0.2"]


def test_a_port_of_an_earlier_version_is_on_loopback(engine: FakeEngine) -> None:
    """Whatever address its machine has as one of several hosts."""
    labels = {**OLD_LABELS, LABEL_PORT: "20000"}
    engine.containers.start(ContainerSpec("shop.r1.bbbbbb", "app", labels, network="n"))
    (found,) = DockerRuntime(host_at(HostSpec("here", address="10.0.0.5"), engine)).list("shop")
    assert (found.address, found.port) == ("127.0.0.1", 20000)


def test_a_host_without_free_ports(engine: FakeEngine, runtime: DockerRuntime) -> None:
    """After some attempts the error is reported."""
    engine.faults.fail("containers.start", PortTaken("in use"), times=1000)
    with pytest.raises(PortTaken, match="in use"):
        runtime.start(replace(SPEC, published=True))
    assert engine.faults.calls["containers.start"] == 20


def test_a_container_of_an_earlier_version_is_a_replica_of_web(engine: FakeEngine, runtime: DockerRuntime) -> None:
    """A container without labels of services is a replica of `web`."""
    engine.containers.start(ContainerSpec("shop.r1.bbbbbb", "app", OLD_LABELS, network="n"))
    (found,) = runtime.list("shop")
    assert (found.name, found.service, found.release, found.template) == ("shop.r1.bbbbbb", "web", 1, "decade")
    assert (found.port, found.grace) == (0, timedelta(seconds=2.5))


def test_a_published_container_of_an_earlier_version_is_reached_at_its_port(
    engine: FakeEngine, runtime: DockerRuntime
) -> None:
    """The port of an old container comes from its label."""
    engine.containers.start(ContainerSpec("shop.r1.bbbbbb", "app", {**OLD_LABELS, LABEL_PORT: "23456"}, network="n"))
    (found,) = runtime.list("shop")
    assert (found.address, found.port) == ("127.0.0.1", 23456)


def test_a_host_whose_bridges_are_not_routed_publishes_every_replica() -> None:
    """A host without routed bridges publishes every replica."""
    started: list[ContainerSpec] = []
    engine = FakeEngine(program=lambda spec: started.append(spec) or Program())  # type: ignore[func-returns-value]
    engine.images.add("app")
    host = replace(local_host(engine), name="b", publish_on="10.0.0.2", reach_at="192.0.2.2", routes_bridges=False)
    runtime = DockerRuntime(host)
    runtime.start(SPEC)
    (found,) = runtime.list("shop")
    assert started[0].published == (PublishedPort(8080, "10.0.0.2", found.port),)
    assert (found.host, found.address) == ("b", "192.0.2.2")


def test_a_start_whose_answer_is_lost_is_found_again(engine: FakeEngine, runtime: DockerRuntime) -> None:
    """A start repeated after a lost response keeps the replica."""
    engine.faults.lose_answer("containers.start")
    with pytest.raises(EngineFault):
        runtime.start(SPEC)
    (found,) = runtime.list("shop")
    runtime.start(SPEC)
    assert runtime.list("shop") == (found,)


def test_a_start_that_fails_is_not_repeated(engine: FakeEngine, runtime: DockerRuntime) -> None:
    """A failed start does not replace a container of another home."""
    engine.faults.fail("containers.start", StageFailed("the name is in use"))
    with pytest.raises(StageFailed, match="the name is in use"):
        runtime.start(SPEC)
    assert engine.faults.calls["containers.start"] == 1


def test_a_name_that_is_used_again_is_another_container(engine: FakeEngine, runtime: DockerRuntime) -> None:
    """A reused name refers to the new container."""
    runtime.start(SPEC)
    runtime.list("shop")
    engine.containers.forget(SPEC.name)
    runtime.start(SPEC)
    assert runtime.stop(SPEC.name, timedelta(seconds=1)) is StopResult.TERMINATED


def test_a_replica_that_is_removed_during_a_stop_is_no_error(engine: FakeEngine, runtime: DockerRuntime) -> None:
    """A replica may vanish during a stop, but an engine may not."""
    runtime.start(SPEC)
    runtime.list("shop")
    engine.containers.forget(SPEC.name)
    assert runtime.stop(SPEC.name, timedelta(seconds=1)) is StopResult.NOT_RUNNING
    assert runtime.ended(SPEC.name) is None
    engine.faults.go_away()
    with pytest.raises(EngineFault):
        runtime.ended(SPEC.name)


def test_a_replica_that_was_killed_for_its_memory_says_so(engine: FakeEngine, runtime: DockerRuntime) -> None:
    """A replica killed for its memory is reported as such."""
    runtime.start(SPEC)
    engine.containers.exit(SPEC.name, 137, oom_killed=True)
    end = runtime.ended(SPEC.name)
    assert end is not None
    assert (end.exit_code, end.oom_killed) == (137, True)

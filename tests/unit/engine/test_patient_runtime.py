"""The runtime of a deployment, while hosts are silent, lost and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from pipeline.base.errors import EngineFault, HostLost, StageFailed
from pipeline.engine.patient_runtime import PatientRuntime
from pipeline.engine.runtime import ReplicaSpec, RestartPolicy, StopResult
from pipeline.testing.fakes.clock import FakeClock
from tests.support.host_world import HostWorld

SPEC = ReplicaSpec(pipeline="shop", release=1, run=1, template="first", image="app", port=8080)
SECOND = timedelta(seconds=1)


@pytest.fixture
def world() -> HostWorld:
    """Two hosts, whose time passes while something waits for them."""
    return HostWorld({"one": "a", "two": "b"}, FakeClock(auto_advance=True))


@pytest.fixture
def runtime(world: HostWorld) -> Iterator[PatientRuntime]:
    """A prepared runtime with the replica r1 on the host one, and r2 on the host two."""
    hosts = world.runtime()
    runtime = PatientRuntime(hosts)
    runtime.prepare("shop")
    for name in ("r1", "r2"):
        runtime.start(replace(SPEC, name=name))
    yield runtime
    hosts.close()


def names(runtime: PatientRuntime) -> list[str]:
    return sorted(replica.name for replica in runtime.list("shop"))


def test_a_list_waits_for_a_host_until_it_is_lost(world: HostWorld, runtime: PatientRuntime) -> None:
    """It is never partial, and says what it lacks."""
    before = world.clock.monotonic()
    assert (names(runtime), runtime.lost) == (["r1", "r2"], ())
    world.lose("two")
    assert (names(runtime), runtime.lost) == (["r1"], ("two",))
    assert world.clock.monotonic() - before >= 10
    world.bring_back("two")
    world.clock.advance(SECOND)
    while world.changes[-1].is_lost:
        names(runtime)
    assert (names(runtime), runtime.lost) == (["r1", "r2"], ())


def test_a_short_silence_is_not_seen(world: HostWorld, runtime: PatientRuntime) -> None:
    """Neither as a fault nor as a loss."""
    world.engines["two"].faults.fail("containers.of", EngineFault("restarting"), times=2)
    assert names(runtime) == ["r1", "r2"]
    assert world.changes == []


def test_what_a_list_lacks_is_of_that_list(world: HostWorld, runtime: PatientRuntime) -> None:
    """A host that is back a moment later must not make its replicas look gone."""
    world.lose("two")
    assert names(runtime) == ["r1"]
    world.bring_back("two")
    world.clock.advance(SECOND * 5)
    assert runtime.lost == ("two",)


def test_a_fault_of_a_host_that_answers_is_raised(world: HostWorld, runtime: PatientRuntime) -> None:
    """After some repetitions: it is no silence."""
    world.engines["one"].faults.fail("containers.start", EngineFault("no space left on device"), times=3)
    with pytest.raises(EngineFault, match=r"^host one: no space left on device$"):
        runtime.start(replace(SPEC, name="r3", zone="a"))
    runtime.start(replace(SPEC, name="r3", zone="a"))
    assert names(runtime) == ["r1", "r2", "r3"]


def test_the_failure_of_an_image_is_not_repeated(world: HostWorld, runtime: PatientRuntime) -> None:
    """It fails the release."""
    world.engines["one"].faults.fail("containers.start", StageFailed("no such command"))
    with pytest.raises(StageFailed):
        runtime.start(replace(SPEC, name="r3", zone="a"))
    assert world.engines["one"].faults.calls["containers.start"] == 2


def test_a_host_that_is_lost_during_a_start(world: HostWorld, runtime: PatientRuntime) -> None:
    """The replica may run there, so it is started nowhere else under its name."""

    def lose(*_: object) -> None:
        world.lose("two")
        raise EngineFault("cable")

    hosts = world.runtime(before_start=lambda host, *_: lose() if host == "two" else None)
    losing = PatientRuntime(hosts)
    losing.prepare("shop")
    with pytest.raises(HostLost, match=r"^r3 was started on host two, which is lost$"):
        losing.start(replace(SPEC, name="r3", zone="b"))
    losing.start(replace(SPEC, name="r4", zone="b"))
    assert names(losing) == ["r1", "r4"]
    hosts.close()


def test_calls_for_a_replica_on_a_lost_host_do_nothing(world: HostWorld, runtime: PatientRuntime) -> None:
    """Its container is stopped and removed when the host is back and lists it."""
    names(runtime)
    world.lose("two")
    assert runtime.stop("r2", SECOND) is StopResult.NOT_RUNNING
    assert (runtime.ended("r2"), runtime.tail("r2")) == (None, ())
    runtime.set_restart_policy("r2", RestartPolicy.ALWAYS)
    runtime.remove("r2")
    world.bring_back("two")
    assert world.engines["two"].containers.running() == {"r2"}


def test_all_hosts_are_lost(world: HostWorld, runtime: PatientRuntime) -> None:
    """Nothing is decided from nothing."""
    for name in world.zones:
        world.lose(name)
    for call in (lambda: runtime.list("shop"), lambda: runtime.start(replace(SPEC, name="r3"))):
        with pytest.raises(EngineFault, match=r"^all hosts are lost; host one"):
            call()

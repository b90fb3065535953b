"""The runtime of several hosts, while hosts are lost and come back."""

from __future__ import annotations

import errno
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest

from pipeline.base.errors import ConfigError, EngineFault, LockHeld, PortTaken, StageFailed, StoreFault
from pipeline.engine.hosts_runtime import HostsRuntime
from pipeline.engine.interfaces import Engine
from pipeline.engine.placement import Placement
from pipeline.engine.reachable_host import HostChange, OpenHost, ReachableHost
from pipeline.engine.runtime import ReplicaSpec, RestartPolicy, StopResult
from tests.support.host_world import LOST_AFTER, HostWorld
from tests.support.waiting import DEADLINE, until

SPEC = ReplicaSpec(pipeline="shop", release=1, run=1, template="first", image="app", port=8080)
SECOND = timedelta(seconds=1)


@pytest.fixture
def world() -> HostWorld:
    """Three hosts in two zones."""
    return HostWorld({"one": "a", "two": "a", "three": "b"})


@pytest.fixture
def runtime(world: HostWorld) -> Iterator[HostsRuntime]:
    """A prepared runtime."""
    runtime = world.runtime()
    runtime.prepare("shop")
    yield runtime
    runtime.close()
    assert world.closed == world.connections


def start(runtime: HostsRuntime, *names: str, spec: ReplicaSpec = SPEC) -> None:
    """Start replicas one after the other."""
    for name in names:
        runtime.start(replace(spec, name=name))


def places(runtime: HostsRuntime) -> dict[str, str]:
    """Return the host of each replica."""
    return {replica.name: replica.host for replica in runtime.list("shop")}


def lose(world: HostWorld, runtime: HostsRuntime, name: str) -> None:
    """Let a host be lost, and the runtime notice it."""
    world.lose(name)
    with pytest.raises(EngineFault, match=f"host {name}"):
        runtime.list("shop")
    world.clock.advance(LOST_AFTER)
    runtime.list("shop")


def test_replicas_are_spread_over_zones_then_hosts(runtime: HostsRuntime) -> None:
    """Each has the zone of its host."""
    start(runtime, "r1", "r2", "r3", "r4")
    assert places(runtime) == {"r1": "one", "r2": "three", "r3": "two", "r4": "three"}
    assert {replica.host: replica.zone for replica in runtime.list("shop")} == {"one": "a", "two": "a", "three": "b"}


def test_a_new_template_is_spread_by_itself(runtime: HostsRuntime) -> None:
    """What the former release leaves on the hosts only decides among equals. Other services do not count."""
    start(runtime, "r1", "r2", "r3", spec=replace(SPEC, service="other"))
    start(runtime, "s1", "s2", "s3", "s4")
    runtime.remove("s4")
    start(runtime, "t1", "t2", "t3", spec=replace(SPEC, template="second"))
    found = places(runtime)
    assert Counter(found[name] for name in ("t1", "t2", "t3")) == {"one": 1, "two": 1, "three": 1}


def test_what_a_restart_replaces_does_not_count(runtime: HostsRuntime) -> None:
    """Its replicas have the same template as the new ones, and go."""
    start(runtime, "r1", "r2", spec=replace(SPEC, zone="b"))
    start(runtime, "s1", "s2", "s3", spec=replace(SPEC, outgoing=frozenset({"r1", "r2", "gone"})))
    found = places(runtime)
    assert [found[name] for name in ("s1", "s2", "s3")] == ["one", "three", "two"]


def test_a_replica_that_has_exited_does_not_count(world: HostWorld, runtime: HostsRuntime) -> None:
    """It is listed until its replacement is healthy, which goes where it was."""
    start(runtime, "r1", "r2")
    world.engines["one"].containers.exit("r1", 1)
    start(runtime, "r3")
    assert places(runtime) == {"r1": "one", "r2": "three", "r3": "one"}


def test_concurrent_starts_are_spread(runtime: HostsRuntime) -> None:
    """Those in progress count, although they are not listed yet."""
    threads = [threading.Thread(target=start, args=(runtime, f"r{number}")) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert Counter(places(runtime).values()) == {"one": 4, "two": 4, "three": 8}


def test_packed_replicas_are_on_the_first_host(world: HostWorld) -> None:
    """The next one is used when the first one is lost."""
    runtime = world.runtime(Placement.PACK)
    runtime.prepare("shop")
    start(runtime, "r1", "r2")
    lose(world, runtime, "one")
    start(runtime, "r3")
    assert places(runtime) == {"r3": "two"}
    runtime.close()


def test_a_zone_without_a_host(runtime: HostsRuntime) -> None:
    """The replica is placed in another one, and has that zone."""
    start(runtime, "r1", spec=replace(SPEC, zone="c"))
    start(runtime, "r2", spec=replace(SPEC, zone="b"))
    assert [(each.name, each.host, each.zone) for each in runtime.list("shop")] == [
        ("r1", "one", "a"),
        ("r2", "three", "b"),
    ]


def test_a_host_that_takes_no_replicas(world: HostWorld) -> None:
    """What is on it is leaving, and nothing more is placed there, nor is a network made."""
    first = world.runtime()
    first.prepare("shop")
    start(first, "r1", "r2", "r3")
    runtime = world.runtime(taking=["one", "three"])
    runtime.prepare("shop")
    assert {each.host: each.is_leaving for each in runtime.list("shop")} == {"one": False, "two": True, "three": False}
    start(runtime, "r4", "r5", spec=replace(SPEC, zone="a"))
    assert Counter(places(runtime).values()) == {"one": 3, "two": 1, "three": 1}
    runtime.place_on(["two"])
    assert {each.host: each.is_leaving for each in runtime.list("shop")} == {"one": True, "two": False, "three": True}
    start(runtime, "r6")
    assert places(runtime)["r6"] == "two"
    runtime.place_on([])
    with pytest.raises(EngineFault, match="r7 cannot be placed: no host that takes replicas answers"):
        start(runtime, "r7")
    for each in (first, runtime):
        each.close()


def test_two_hosts_with_the_same_engine(world: HostWorld) -> None:
    """Each replica is listed once, on the host that takes replicas: by another address, a host has not left."""
    world.engines["two"] = world.engines["one"]
    runtime = world.runtime(taking=["two", "three"])
    runtime.prepare("shop")
    start(runtime, "r1", spec=replace(SPEC, zone="a"))
    assert [(each.name, each.host, each.is_leaving) for each in runtime.list("shop")] == [("r1", "two", False)]
    runtime.close()


def test_the_network_is_made_where_replicas_are_placed(world: HostWorld) -> None:
    """Not on a host that leaves."""
    runtime = world.runtime(taking=["one"])
    runtime.prepare("shop")
    made = {name for name, engine in world.engines.items() if engine.networks.has(engine.networks.name("shop"))}
    assert made == {"one"}
    runtime.close()


def test_what_is_done_before_a_start(world: HostWorld) -> None:
    """It is told the host and its engine, and its failure is that of the start, which may go to another host then."""
    asked: list[tuple[str, str]] = []

    def before(host: str, engine: Engine, spec: ReplicaSpec) -> None:
        assert engine is world.engines[host]
        asked.append((host, spec.name))
        if len(asked) == 1:
            raise StageFailed("no image")

    runtime = world.runtime(before_start=before)
    runtime.prepare("shop")
    with pytest.raises(StageFailed, match="no image"):
        start(runtime, "r1")
    start(runtime, "r1", "r2")
    assert asked == [("one", "r1"), ("one", "r1"), ("three", "r2")]
    runtime.close()


def test_nothing_is_started_where_the_image_may_be_missing(world: HostWorld) -> None:
    """As on a host that has stopped answering since it was chosen: its engine would fail the release."""
    asked: list[str] = []

    def before(host: str, _: Engine, __: ReplicaSpec) -> None:
        asked.append(host)
        raise EngineFault("the image did not arrive")

    runtime = world.runtime(before_start=before)
    runtime.prepare("shop")
    with pytest.raises(EngineFault, match="the image did not arrive"):
        start(runtime, "r1")
    world.lose("one")
    with pytest.raises(EngineFault, match="one"):
        runtime.list("shop")
    world.bring_back("one")
    with pytest.raises(EngineFault, match="host one"):
        start(runtime, "r1")
    assert (asked, world.engines["one"].containers.running()) == (["one"], frozenset())
    runtime.close()


def test_another_process_finds_replicas_by_search(world: HostWorld, runtime: HostsRuntime) -> None:
    """A name says nothing about its host. A repeated start is one on the same host."""
    start(runtime, "r1", "r2")
    other = world.runtime()
    other.connect()
    assert other.stop("r2", SECOND) is StopResult.TERMINATED
    other.set_restart_policy("r2", RestartPolicy.ALWAYS)
    ended = other.ended("r2")
    assert ended is not None
    assert ended.exit_code == 0
    start(other, "r1", "r2")
    assert places(other) == {"r1": "one", "r2": "three"}
    assert other.stop("r9", SECOND) is StopResult.NOT_RUNNING
    other.close()


def test_a_host_that_does_not_answer_is_a_fault_until_it_is_lost(world: HostWorld, runtime: HostsRuntime) -> None:
    """Then its replicas are not listed, calls for them do nothing, and it is told once."""
    start(runtime, "r1", "r2", "r3")
    world.lose("three")
    with pytest.raises(EngineFault, match=r"^host three: the fake engine is away"):
        runtime.list("shop")
    for _ in range(3):
        with pytest.raises(EngineFault, match=r"^host three \(ssh://three\): three does not respond\nlook$"):
            runtime.list("shop")
        world.clock.advance(SECOND * 3)
    assert world.changes == []
    world.clock.advance(SECOND)
    for _ in range(3):
        assert places(runtime) == {"r1": "one", "r3": "two"}
    reason = "host three (ssh://three): three does not respond"
    assert world.changes == [HostChange("three", is_lost=True, reason=reason, hint="look")]
    assert [change.text for change in world.changes] == [
        "host three is lost, other hosts get its replicas: three does not respond (look)"
    ]
    assert runtime.stop("r2", SECOND) is StopResult.NOT_RUNNING
    assert (runtime.ended("r2"), runtime.tail("r2")) == (None, ())
    runtime.remove("r2")
    with pytest.raises(EngineFault, match="r2 was started on host three, which is lost"):
        start(runtime, "r2")
    start(runtime, "r4", spec=replace(SPEC, zone="a"))
    start(runtime, "r5", spec=replace(SPEC, zone="b"))
    assert places(runtime)["r5"] == "two"
    assert runtime.lost == ("three",)


def test_a_host_that_comes_back_shows_its_replicas(world: HostWorld, runtime: HostsRuntime) -> None:
    """They are what they were, so what is surplus by now can be drained. The host gets replicas again."""
    start(runtime, "r1", "r2")
    lose(world, runtime, "three")
    start(runtime, "r3")
    world.bring_back("three")
    world.clock.advance(SECOND)
    until(lambda: places(runtime) == {"r1": "one", "r2": "three", "r3": "two"}, "the replicas of the host")
    assert [change.is_lost for change in world.changes] == [True, False]
    runtime.remove("r2")
    start(runtime, "r4")
    assert places(runtime) == {"r1": "one", "r3": "two", "r4": "three"}


def test_a_host_that_is_lost_from_the_beginning(world: HostWorld) -> None:
    """It is waited for until it is lost. Its network is made when it is back."""
    world.lose("two")
    runtime = world.runtime()
    preparing = threading.Thread(target=runtime.prepare, args=("shop",))
    preparing.start()
    until(lambda: world.connections == {"one": 1, "three": 1}, "the other hosts")
    world.clock.advance(LOST_AFTER)
    preparing.join(DEADLINE)
    start(runtime, "r1", "r2", "r3")
    assert places(runtime) == {"r1": "one", "r2": "three", "r3": "one"}
    world.bring_back("two")
    world.clock.advance(SECOND)
    until(lambda: runtime.list("shop") and len(world.changes) == 2, "the host")
    assert world.engines["two"].networks.has(world.engines["two"].networks.name("shop"))
    runtime.close()


def test_one_failure_long_ago_is_no_loss(world: HostWorld, runtime: HostsRuntime) -> None:
    """Nothing asked in between. The host counts as lost only if attempts fail for ten seconds from now on."""
    world.lose("two")
    with pytest.raises(EngineFault):
        runtime.list("shop")
    world.clock.advance(timedelta(hours=1))
    with pytest.raises(EngineFault):
        runtime.list("shop")
    world.bring_back("two")
    world.clock.advance(SECOND)
    assert places(runtime) == {}
    assert world.changes == []
    lose(world, runtime, "two")
    assert [change.is_lost for change in world.changes] == [True]


@pytest.mark.parametrize(
    ("failure", "shown"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/home"), "it cannot be reached from here: .*No space left"),
        (LockHeld("pipeline (pid 7) holds it", hint="end it"), "pipeline .pid 7. holds it\nend it$"),
        (StoreFault("cannot open /home/lock: denied"), "cannot open /home/lock"),
    ],
)
def test_a_host_that_this_machine_cannot_reach(world: HostWorld, failure: Exception, shown: str) -> None:
    """It is lost as one that does not answer, also if it was connected to before."""
    runtime = world.runtime()
    runtime.prepare("shop")
    world.engines["three"].faults.fail("containers.of", failure, times=1000)
    world.failures["three"] = failure
    for _ in range(2):
        with pytest.raises(EngineFault, match=rf"^host three: {shown}"):
            runtime.list("shop")
    world.clock.advance(LOST_AFTER)
    assert places(runtime) == {}
    assert [change.is_lost for change in world.changes] == [True]
    runtime.close()


def test_an_invalid_address_is_an_error_at_once(world: HostWorld) -> None:
    """It is no host that does not answer."""

    def connect() -> OpenHost:
        raise ConfigError("host one: no address")

    host = ReachableHost("one", "a", connect, clock=world.clock)
    with closing(HostsRuntime([host])) as runtime, pytest.raises(ConfigError, match="host one: no address"):
        runtime.prepare("shop")


def test_a_connection_that_is_made_while_the_runtime_is_closed(world: HostWorld) -> None:
    """It is closed too."""
    runtime = world.runtime(silence=timedelta(seconds=0.05))
    hang = world.engines["one"].faults.hang("containers.of")
    with pytest.raises(EngineFault):
        runtime.list("shop")
    hang.wait_until_called()
    runtime.close()
    hang.release()
    until(lambda: world.closed == world.connections, "the end of all connections")


def test_all_hosts_are_lost(world: HostWorld, runtime: HostsRuntime) -> None:
    """Nothing can be said then."""
    for name in world.zones:
        world.lose(name)
    with pytest.raises(EngineFault):
        runtime.list("shop")
    world.clock.advance(LOST_AFTER)
    for call in (runtime.connect, lambda: runtime.prepare("shop"), lambda: runtime.list("shop")):
        with pytest.raises(EngineFault, match=r"^all hosts are lost; host one"):
            call()


def test_a_silent_host(world: HostWorld) -> None:
    """A call that hangs does not hold up the others for longer than the silence, and is not repeated meanwhile."""
    runtime = world.runtime(silence=timedelta(seconds=0.3))
    until(lambda: _connects(runtime), "a connection")
    start(runtime, "r1", "r2")
    hang = world.engines["three"].faults.hang("containers.of")
    with pytest.raises(EngineFault, match=r"^host three: no answer within 0\.3 s$"):
        runtime.list("shop")
    # The attempt to reach it hangs too.
    with pytest.raises(EngineFault):
        runtime.list("shop")
    world.clock.advance(LOST_AFTER)
    assert places(runtime) == {"r1": "one"}
    hang.release()
    world.clock.advance(SECOND)
    until(lambda: places(runtime) == {"r1": "one", "r2": "three"}, "the host")
    runtime.close()


def _connects(runtime: HostsRuntime) -> bool:
    try:
        runtime.prepare("shop")
    except EngineFault:
        return False
    return True


def test_a_single_failure_is_no_loss(world: HostWorld, runtime: HostsRuntime) -> None:
    """The same connection is used again at once."""
    world.engines["two"].faults.fail("containers.of", EngineFault("restarting"))
    with pytest.raises(EngineFault, match=r"^host two: restarting$"):
        runtime.list("shop")
    until(lambda: places(runtime) == {}, "an answer")
    assert (world.changes, world.connections["two"]) == ([], 1)


def test_a_failed_start_may_be_placed_elsewhere(world: HostWorld, runtime: HostsRuntime) -> None:
    """Nothing of it was left on the first host."""
    world.engines["one"].faults.fail("containers.start", StageFailed("r1 cannot be started: no"))
    with pytest.raises(StageFailed):
        start(runtime, "r1")
    start(runtime, "r0")
    start(runtime, "r1")
    assert places(runtime) == {"r0": "one", "r1": "three"}


def test_a_start_without_a_free_port_may_be_placed_elsewhere(world: HostWorld, runtime: HostsRuntime) -> None:
    """The error has the host's name, and is still that of a port."""
    world.engines["one"].faults.fail("containers.start", PortTaken("port is already allocated"), times=100)
    with pytest.raises(PortTaken, match=r"^host one: port is already allocated$"):
        start(runtime, "r1")
    start(runtime, "r1", spec=replace(SPEC, zone="b"))
    assert places(runtime) == {"r1": "three"}


def test_a_start_whose_answer_was_lost_is_repeated_on_the_same_host(world: HostWorld, runtime: HostsRuntime) -> None:
    """So it does not run twice."""
    world.engines["one"].faults.lose_answer("containers.start")
    with pytest.raises(EngineFault, match=r"^host one: "):
        start(runtime, "r1")
    start(runtime, "r1")
    assert places(runtime) == {"r1": "one"}


def test_clearing_while_a_host_is_lost(world: HostWorld, runtime: HostsRuntime) -> None:
    """The other networks are removed, and the error names the host."""
    lose(world, runtime, "three")
    with pytest.raises(EngineFault, match="the network on host three stays: the host is lost\nrepeat"):
        runtime.clear("shop")
    one, three = (world.engines[name].networks for name in ("one", "three"))
    assert not one.has(one.name("shop"))
    world.bring_back("three")
    assert three.has(three.name("shop"))
    world.clock.advance(SECOND)
    until(lambda: runtime.list("shop") == () and len(world.changes) == 2, "the host")
    runtime.clear("shop")
    assert not three.has(three.name("shop"))

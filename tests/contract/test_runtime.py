"""Contract of `Runtime`, kept by every runtime."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta

import pytest

from pipeline.base.clock import SystemClock
from pipeline.base.errors import StageFailed
from pipeline.engine.container import ContainerHealth, HealthProbe, Privileges
from pipeline.engine.runtime import RestartPolicy, StopResult
from pipeline.testing.fakes.program import PERMISSION_ERROR, PROCESS_ERROR, Program
from tests.contract.engines import (
    ENDED,
    EXIT_0,
    EXIT_3,
    NO_SUCH_PROGRAM,
    READY,
    RuntimeUnderTest,
    docker_runtime,
    docker_runtime_on_fake_engine,
    fake_runtime,
    hosts_of_fake_engines,
    ssh_hosts_runtime,
    ssh_runtime,
    swarm_runtime,
    swarm_runtime_on_fake_swarm,
)
from tests.support.private_engine import PrivateEngine
from tests.support.waiting import until

GRACE = timedelta(seconds=20)


REAL = ("docker", "ssh", "ssh-hosts", "swarm", "swarm-of-three")
FAKES = ("fake", "docker-on-fake-engine", "hosts-of-fake-engines", "fake-swarm")


@pytest.fixture(params=[*FAKES, *(pytest.param(name, marks=pytest.mark.docker) for name in REAL)])
def tested(request: pytest.FixtureRequest, base_image: str) -> Iterator[RuntimeUnderTest]:
    """A runtime under test."""
    makers = {
        "fake": fake_runtime,
        "docker-on-fake-engine": docker_runtime_on_fake_engine,
        "hosts-of-fake-engines": hosts_of_fake_engines,
        "fake-swarm": swarm_runtime_on_fake_swarm,
        "docker": lambda: docker_runtime(base_image),
        "ssh": lambda: ssh_runtime(base_image, request.getfixturevalue("sshd")),
        "ssh-hosts": lambda: ssh_hosts_runtime(
            base_image, request.getfixturevalue("sshd"), request.getfixturevalue("second_engine")
        ),
        "swarm": lambda: _on_one_node(base_image, request.getfixturevalue("swarm_manager")),
        "swarm-of-three": lambda: swarm_runtime(base_image, request.getfixturevalue("swarm_nodes")),
    }
    with makers[request.param]() as tested:
        yield tested


def _on_one_node(base_image: str, engine: PrivateEngine) -> AbstractContextManager[RuntimeUnderTest]:
    return swarm_runtime(base_image, {engine.host: engine.address})


def test_a_started_replica_is_listed_as_it_was_asked_for(tested: RuntimeUnderTest) -> None:
    """A replica is listed with its specification, in its pipeline only."""
    name = tested.start(zone="zone-a")
    found = tested.find(name)
    assert found is not None
    assert found.zone == "zone-a"
    assert (found.service, found.release, found.template) == ("web", 4, "c0ffee")
    assert (found.port == 8080) is not tested.publishes
    assert (found.running, found.grace) == (True, timedelta(seconds=1.5))
    assert found.address
    assert tested.runtime.list("other") == ()


def test_the_start_of_a_replica_can_be_measured_from(tested: RuntimeUnderTest) -> None:
    """It has a boot time, so the age of the replica does not depend on the wall clock."""
    before = SystemClock().now()
    found = tested.find(tested.start())
    assert found is not None
    assert found.zone == tested.zone
    assert found.started.boot == before.boot
    assert before.seconds <= found.started.seconds <= SystemClock().now().seconds


def test_a_replica_of_another_service_says_so(tested: RuntimeUnderTest) -> None:
    """Replicas of two services are in the pipeline's list."""
    names = tested.start(), tested.start(service="worker")
    services = {name: found.service for name in names if (found := tested.find(name))}
    assert services == dict(zip(names, ("web", "worker"), strict=True))


@pytest.mark.parametrize(
    ("command", "health"), [(EXIT_0, ContainerHealth.HEALTHY), (EXIT_3, ContainerHealth.UNHEALTHY)]
)
def test_a_probe_says_whether_a_replica_is_healthy(
    tested: RuntimeUnderTest, command: tuple[str, ...], health: ContainerHealth
) -> None:
    """The probe's command is run in the replica. Its exit code is shown as the replica's health."""
    probe = HealthProbe(command, timedelta(milliseconds=200), timedelta(seconds=20), threshold=1)
    name = tested.start(probe=probe)
    until(lambda: (found := tested.find(name)) and found.health is health, "a result")


def test_failures_of_a_probe_in_its_start_period_do_not_count(tested: RuntimeUnderTest) -> None:
    """A replica whose probe fails is starting. After a failure, one without a start period is unhealthy."""
    probe = HealthProbe(EXIT_3, timedelta(milliseconds=200), timedelta(seconds=20), threshold=1)
    patient = replace(probe, start_period=timedelta(hours=1))
    names = [tested.start(probe=each) for each in (patient, probe)]
    until(lambda: (found := tested.find(names[1])) and found.health is ContainerHealth.UNHEALTHY, "a result")
    found = tested.find(names[0])
    assert found is not None
    assert found.health is ContainerHealth.STARTING


def test_without_a_probe_a_replica_has_no_health(tested: RuntimeUnderTest) -> None:
    """Neither does one whose image has no HEALTHCHECK, if its probe names no command."""
    for probe in (None, HealthProbe(None, timedelta(milliseconds=200), timedelta(seconds=1), threshold=1)):
        found = tested.find(tested.start(probe=probe))
        assert found is not None
        assert found.health is None


def test_a_replica_of_another_home_is_not_touched(tested: RuntimeUnderTest) -> None:
    """Another home neither lists nor removes a replica."""
    name = tested.start()
    assert tested.other_home.list("shop") == ()
    assert tested.other_home.stop(name, GRACE) is StopResult.NOT_RUNNING
    tested.other_home.remove(name)
    assert tested.running(name)


def test_a_repeated_start_leaves_a_running_replica_alone(tested: RuntimeUnderTest) -> None:
    """A repeated start keeps the process of a running replica."""
    name = tested.start()
    before = tested.runtime.ended(name)
    tested.runtime.start(tested.spec(name=name))
    assert tested.runtime.ended(name) == before
    assert len(tested.runtime.list("shop")) == 1


def test_a_repeated_start_replaces_a_replica_that_exited(tested: RuntimeUnderTest) -> None:
    """A start replaces an exited replica of the same name."""
    name = tested.start(Program(exit_code=3))
    until(lambda: not tested.running(name), "an exit")
    tested.runtime.start(tested.spec(name=name))
    assert tested.running(name)
    assert len(tested.runtime.list("shop")) == 1


def test_what_cannot_be_started_leaves_nothing(tested: RuntimeUnderTest) -> None:
    """An unknown program or image is a stage failure and leaves no replica."""
    for spec in (tested.spec(command=NO_SUCH_PROGRAM), tested.spec(image="none")):
        with pytest.raises(StageFailed, match=f"{spec.name} cannot be started: "):
            tested.runtime.start(spec)
    assert tested.runtime.list("shop") == ()


def test_sixteen_starts_at_once_get_addresses_of_their_own(tested: RuntimeUnderTest) -> None:
    """Sixteen concurrent starts get different addresses."""
    with ThreadPoolExecutor(16) as pool:
        names = set(pool.map(lambda _: tested.start(), range(16)))
    found = tested.runtime.list("shop")
    assert {replica.name for replica in found} == names
    assert len({(replica.address, replica.port) for replica in found}) == 16


def test_a_published_replica_is_reached_at_a_port_of_its_own(tested: RuntimeUnderTest) -> None:
    """A published replica is reached at a port of its host."""
    names = [tested.start(published=True) for _ in range(2)]
    found = [replica for name in names if (replica := tested.find(name))]
    assert {replica.address for replica in found} <= tested.published_at
    assert 8080 not in {replica.port for replica in found}
    assert len({(replica.address, replica.port) for replica in found}) == 2


@pytest.mark.parametrize(
    ("program", "error"),
    [
        (Program(needs=frozenset({"CHOWN"})), None),
        (Program(needs=frozenset({"SYS_CHROOT"})), PERMISSION_ERROR),
        (Program(processes=60), PROCESS_ERROR),
    ],
    ids=["within its limits", "without a capability", "too many processes"],
)
def test_a_replica_has_its_limits(tested: RuntimeUnderTest, program: Program, error: str | None) -> None:
    """A replica has the privileges and the number of processes of its specification."""
    name = tested.start(program, privileges=Privileges(cap_add=("CHOWN",), cap_drop=("ALL",)), pids=40)
    if error is None:
        assert tested.running(name)
        return
    until(lambda: not tested.running(name), "an exit")
    assert tested.runtime.tail(name)[-1] == error


@pytest.mark.parametrize(
    ("program", "grace", "result"),
    [
        (Program(on_sigterm=0), GRACE, StopResult.TERMINATED),
        (Program(on_sigterm=None), timedelta(seconds=1), StopResult.KILLED),
        (Program(exit_code=0), GRACE, StopResult.NOT_RUNNING),
    ],
    ids=["handles SIGTERM", "ignores SIGTERM", "has exited"],
)
def test_stopping_says_what_it_took(
    tested: RuntimeUnderTest, program: Program, grace: timedelta, result: StopResult
) -> None:
    """A stop returns how the replica ended, and another stop changes nothing."""
    name = tested.start(program)
    if result is StopResult.NOT_RUNNING:
        until(lambda: not tested.running(name), "an exit")
    assert tested.runtime.stop(name, grace) is result
    assert not tested.running(name)
    assert tested.runtime.stop(name, grace) is StopResult.NOT_RUNNING


def test_a_replica_is_restarted_only_with_a_policy(tested: RuntimeUnderTest) -> None:
    """A policy restarts a replica and counts the restart. Its address is the same, or the list has the new one."""
    without, name = tested.start(), tested.start()
    before = tested.find(name)
    assert before is not None
    tested.runtime.set_restart_policy(name, RestartPolicy.ALWAYS)
    tested.end(without)
    tested.end(name)

    def restarted() -> bool:
        end = tested.runtime.ended(name)
        found = tested.find(name)
        # One that is restarted elsewhere has no address until it runs there.
        return end is not None and end.restarts == 1 and found is not None and found.running and bool(found.address)

    until(restarted, "a restart")
    after, end = tested.find(name), tested.runtime.ended(name)
    assert after is not None
    assert end is not None
    assert end.exit_code is None
    assert (after.address, after.port) == (before.address, before.port) or tested.moves
    until(lambda: not tested.running(without), "an exit")
    exited = tested.runtime.ended(without)
    assert exited is not None
    assert (exited.exit_code, exited.oom_killed, exited.restarts) == (ENDED, False, 0)


@pytest.mark.parametrize("policy", RestartPolicy)
def test_a_stopped_replica_is_not_restarted(tested: RuntimeUnderTest, policy: RestartPolicy) -> None:
    """A stopped replica is not restarted under any policy."""
    name = tested.start()
    tested.runtime.set_restart_policy(name, policy)
    tested.runtime.stop(name, GRACE)
    end = tested.runtime.ended(name)
    assert end is not None
    assert (end.restarts, tested.running(name)) == (0, False)


def test_a_removed_replica_is_gone(tested: RuntimeUnderTest) -> None:
    """Every call ignores a removed replica, and its name is free."""
    name = tested.start()
    tested.runtime.list("shop")
    tested.runtime.remove(name)
    tested.runtime.remove(name)
    tested.runtime.set_restart_policy(name, RestartPolicy.ALWAYS)
    assert tested.runtime.list("shop") == ()
    assert tested.runtime.stop(name, GRACE) is StopResult.NOT_RUNNING
    assert tested.runtime.ended(name) is None
    assert tested.runtime.tail(name) == ()
    tested.runtime.start(tested.spec(name=name))
    tested.runtime.remove(name)
    assert tested.runtime.list("shop") == ()


def test_the_last_lines_of_a_replica(tested: RuntimeUnderTest) -> None:
    """The requested number of last lines is available, also after the exit."""
    name = tested.start(Program(lines=("one", "two"), exit_code=3))
    assert tested.runtime.tail(name) == ("one", "two", READY)
    assert tested.runtime.tail(name, 2) == ("two", READY)


def test_clearing_and_preparing_may_be_repeated(tested: RuntimeUnderTest) -> None:
    """A cleared pipeline can be prepared again."""
    tested.runtime.clear("shop")
    tested.runtime.clear("shop")
    tested.runtime.prepare("shop")
    tested.runtime.prepare("shop")
    assert tested.running(tested.start())

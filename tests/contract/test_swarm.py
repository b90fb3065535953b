"""Contract of `Swarm`, kept by that of Docker and by the fake."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from pipeline.base.clock import SYSTEM
from pipeline.base.errors import StageFailed
from pipeline.engine.hosts import local_swarm
from pipeline.engine.runtime import ReplicaSpec
from pipeline.engine.swarm.replica_service import replica_service
from pipeline.engine.swarm.swarm import Availability, Swarm, SwarmNode, SwarmService, SwarmTask, TaskState
from pipeline.engine.swarm_options import SwarmOptions, SwarmSecret
from pipeline.testing.fakes.program import Program
from pipeline.testing.fakes.swarm import FakeSwarm
from tests.contract.engines import READY, Programs
from tests.support.waiting import until


@dataclass
class SwarmUnderTest:
    """A Swarm of one node, as two homes see it."""

    swarm: Swarm
    other_home: Swarm
    image: str
    programs: Programs

    def create(self, program: Program = Program(), **more: object) -> SwarmService:  # noqa: B008  # a frozen value
        """Create the service of a replica, and return it."""
        name = f"shop.web.r4.{secrets.token_hex(3)}"
        spec = ReplicaSpec("shop", 4, 9, "c0ffee", self.image, 8080, name, command=self.programs.command(program))
        spec = replace(spec, grace=timedelta(seconds=1), **more)  # type: ignore[arg-type]
        self.swarm.create(replica_service(spec, SYSTEM.now(), probed=False))
        return self.service(name)

    def service(self, name: str) -> SwarmService:
        """Return the service of a replica."""
        found = self.swarm.find(name)
        assert found is not None
        return found

    def running(self, service: SwarmService) -> SwarmTask:
        """Wait until a service has a task that has printed its lines, and return the task."""
        task: SwarmTask = until(lambda: self._last(service, TaskState.RUNNING), "a task that runs")
        until(lambda: READY in self.swarm.logs(task, 20), "output of the task")
        return task

    def _last(self, service: SwarmService, state: TaskState) -> SwarmTask | None:
        tasks = self.swarm.tasks_of(service.id)
        return tasks[-1] if tasks and tasks[-1].state is state else None


@pytest.fixture(params=["fake", pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.long])])
def tested(request: pytest.FixtureRequest, base_image: str) -> Iterator[SwarmUnderTest]:
    """A Swarm under test, whose services are removed afterwards."""
    programs = Programs()
    if request.param == "fake":
        fake = FakeSwarm(program=programs.of)
        yield SwarmUnderTest(fake, FakeSwarm(), "app", programs)
        return
    manager = request.getfixturevalue("swarm_manager")
    environment = {"DOCKER_HOST": manager.address}
    image = manager.docker("image", "inspect", "--format", "{{.Id}}", base_image).strip()
    with (
        closing(local_swarm(secrets.token_hex(8), environment)) as swarm,
        closing(local_swarm(secrets.token_hex(8), environment)) as other,
    ):
        try:
            yield SwarmUnderTest(swarm, other, image, programs)
        finally:
            for service in swarm.services("shop"):
                swarm.remove(service.id)
            swarm.release()


def test_a_service_has_one_task_on_a_node(tested: SwarmUnderTest) -> None:
    """With a port there. It is listed for its pipeline and its home only."""
    service = tested.create(Program(lines=("one", "two")))
    task = tested.running(service)
    (node,) = tested.swarm.nodes()
    assert (task.node, task.service, task.exit_code) == (node.id, service.id, None)
    assert node.id == tested.swarm.local_node()
    assert task.port > 0
    assert task.container
    assert tested.swarm.logs(task, 2) == ("two", READY)
    assert tested.swarm.services("shop") == (service,)
    assert tested.swarm.tasks("shop") == tested.swarm.tasks_of(service.id)
    assert task in tested.swarm.tasks_on(node.id)
    assert tested.swarm.services("other") == tested.swarm.tasks("other") == ()
    assert tested.other_home.services("shop") == tested.other_home.tasks("shop") == ()


def test_a_label_does_not_replace_the_task(tested: SwarmUnderTest) -> None:
    """It raises the version of the service."""
    service = tested.create()
    task = tested.running(service)
    tested.swarm.set_label(service.id, "penstock.restart", "always")
    after = tested.service(service.labels["penstock.replica"])
    assert after.labels == {**service.labels, "penstock.restart": "always"}
    assert after.version > service.version
    assert [each.id for each in tested.swarm.tasks_of(service.id)] == [task.id]


@pytest.mark.parametrize(("on_sigterm", "code"), [(0, 0), (None, 137)], ids=["handles SIGTERM", "ignores SIGTERM"])
def test_a_stopped_task_stays_listed_with_its_exit_code(
    tested: SwarmUnderTest, on_sigterm: int | None, code: int
) -> None:
    """Its output stays, too. No other task gets a node. Another stop changes nothing."""
    service = tested.create(Program(on_sigterm=on_sigterm))
    task = tested.running(service)
    tested.swarm.stop(service.id)
    tested.swarm.stop(service.id)

    def ended() -> SwarmTask | None:
        found = next(each for each in tested.swarm.tasks_of(service.id) if each.id == task.id)
        return found if found.state.has_ended else None

    last: SwarmTask = until(ended, "the end of the task")
    assert (last.state, last.exit_code, last.port) == (TaskState.SHUTDOWN, code, 0)
    assert not [each for each in tested.swarm.tasks_of(service.id) if each.node and not each.state.has_ended]
    assert READY in tested.swarm.logs(last, 20)


def test_a_task_that_fails_has_a_successor(tested: SwarmUnderTest) -> None:
    """The oldest is first, with the code of its process."""
    service = tested.create(Program(exit_code=3))
    first: SwarmTask = until(
        lambda: next((each for each in tested.swarm.tasks_of(service.id) if each.state is TaskState.FAILED), None),
        "a failed task",
    )
    assert (first.exit_code, first.error) == (3, "task: non-zero exit (3)")


def test_a_task_without_an_image_is_rejected(tested: SwarmUnderTest) -> None:
    """On the node that lacks it."""
    if isinstance(tested.swarm, FakeSwarm):
        tested.swarm.missing_images.add("sha256:0")
    missing = "sha256:0" if isinstance(tested.swarm, FakeSwarm) else f"sha256:{'0' * 64}"
    service = tested.create(image=missing)
    rejected: SwarmTask = until(
        lambda: next((each for each in tested.swarm.tasks_of(service.id) if each.state is TaskState.REJECTED), None),
        "a rejected task",
    )
    assert rejected.error == f"No such image: {missing}"
    assert rejected.exit_code is None


def test_a_task_that_no_node_can_run_waits(tested: SwarmUnderTest) -> None:
    """And says so."""
    service = tested.create(swarm=SwarmOptions(("node.labels.disk==none",)))
    waiting: SwarmTask = until(
        lambda: next((each for each in tested.swarm.tasks_of(service.id) if each.error), None), "the reason"
    )
    assert waiting.state is TaskState.PENDING
    assert waiting.error.startswith("no suitable node")


def test_a_name_is_taken_once(tested: SwarmUnderTest) -> None:
    """And a secret that does not exist is refused."""
    service = tested.create()
    with pytest.raises(StageFailed, match="cannot be started"):
        tested.create(name=service.labels["penstock.replica"])
    with pytest.raises(StageFailed, match="cannot be started: the Swarm has no secret db"):
        tested.create(swarm=SwarmOptions(secrets=(SwarmSecret("db", "db"),)))
    assert len(tested.swarm.services("shop")) == 1


def test_a_removed_service_is_gone(tested: SwarmUnderTest) -> None:
    """Every later call does nothing."""
    service = tested.create()
    task = tested.running(service)
    tested.swarm.remove(service.id)
    tested.swarm.remove(service.id)
    tested.swarm.stop(service.id)
    tested.swarm.set_label(service.id, "a", "b")
    assert tested.swarm.find(service.labels["penstock.replica"]) is None
    assert tested.swarm.services("shop") == ()
    assert tested.swarm.tasks_of(service.id) == ()
    until(lambda: tested.swarm.logs(task, 20) == (), "the end of the output")


def test_a_leader_is_confirmed_and_leaves_nothing(tested: SwarmUnderTest) -> None:
    """Any number of times, and by several homes."""
    for swarm in (tested.swarm, tested.other_home):
        swarm.confirm()
        swarm.confirm()
        swarm.release()
        swarm.release()


def test_the_availability_of_a_node(tested: SwarmUnderTest) -> None:
    """It is that of all services. A node that does not exist is left alone."""

    def node() -> SwarmNode:
        (found,) = tested.swarm.nodes()
        return found

    for availability in (Availability.PAUSE, Availability.ACTIVE):
        tested.swarm.set_availability(node().id, availability)
        assert node().availability is availability
    tested.swarm.set_availability("none", Availability.DRAIN)
    assert node().availability is Availability.ACTIVE

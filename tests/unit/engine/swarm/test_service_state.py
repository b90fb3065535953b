"""The state of a replica, from its service, its tasks and the nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.base.clock import SYSTEM
from pipeline.engine.container import ContainerHealth
from pipeline.engine.runtime import ReplicaSpec, RestartPolicy
from pipeline.engine.swarm.replica_service import (
    LABEL_RESTART,
    LABEL_STOPPED,
    replica_service,
    service_name,
)
from pipeline.engine.swarm.service_state import ServiceState
from pipeline.engine.swarm.swarm import SwarmNode, SwarmService, SwarmTask, TaskState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = ReplicaSpec("shop", 4, 9, "c0ffee", "sha256:1", 8080, name="shop.web.r4.abc")
NODES = {
    "n1": SwarmNode("n1", "node1", "10.0.0.1", labels={"zone": "zone-a"}),
    "n2": SwarmNode("n2", "node2", "10.0.0.2"),
}
FAILED = {"state": TaskState.FAILED, "exit_code": 3, "error": "task: non-zero exit (3)", "port": 0}
KILLED = "task: non-zero exit (137)"


def task(number: int = 1, **more: object) -> SwarmTask:
    """Return a task that has run on the first node for ten seconds, unless it says something else."""
    then = NOW - timedelta(seconds=10)
    shown = SwarmTask(
        f"t{number}", "s1", then + timedelta(microseconds=number), then, TaskState.RUNNING, "n1", "c1", port=32768
    )
    return replace(shown, **more)  # type: ignore[arg-type]


def state(*tasks: SwarmTask, nodes: dict[str, SwarmNode] = NODES, probed: bool = False, **labels: str) -> ServiceState:
    """Return the state of a service with these tasks. `labels` are its further labels by the end of their names."""
    spec = replica_service(SPEC, SYSTEM.now(), probed=probed)
    more = {f"penstock.{name}": value for name, value in labels.items()}
    return ServiceState(SwarmService("s1", spec.name, 1, {**spec.labels, **more}), tasks, nodes)


def test_a_task_that_runs_is_a_replica_on_its_node() -> None:
    """With the address of the node, the port of the task there, and the zone that the node's label names."""
    found = state(task()).replica(NOW)
    assert (found.name, found.release, found.template) == ("shop.web.r4.abc", 4, "c0ffee")
    assert (found.host, found.zone, found.address, found.port) == ("node1", "zone-a", "10.0.0.1", 32768)
    assert (found.running, found.running_for, found.health) == (True, 10, None)


def test_a_node_without_the_label_is_in_no_zone() -> None:
    """The label is `zone`."""
    assert state(task(node="n2")).replica(NOW).zone is None


@pytest.mark.parametrize("tasks", [(), (task(state=TaskState.PENDING, node="", port=0),)], ids=["none", "pending"])
def test_a_service_without_a_node_is_about_to_run(tasks: Sequence[SwarmTask]) -> None:
    """It has no address yet."""
    found = state(*tasks).replica(NOW)
    assert (found.running, found.host, found.address, found.port) == (True, "", "", 0)


def test_the_first_end_counts_until_a_policy_is_set() -> None:
    """The Swarm restarts the task at once, but a new release that exits has failed."""
    found = state(task(1, **FAILED), task(2))
    assert not found.replica(NOW).running
    assert (found.end().exit_code, found.end().restarts) == (3, 0)


def test_with_a_policy_the_next_task_counts() -> None:
    """It may have another port. The end of the first one is a restart."""
    found = state(task(1, **FAILED), task(2, port=32769, node="n2"), restart="always")
    assert found.replica(NOW).running
    assert (found.replica(NOW).address, found.replica(NOW).port) == ("10.0.0.2", 32769)
    assert (found.end().exit_code, found.end().restarts) == (None, 1)


@pytest.mark.parametrize(
    ("policy", "ended", "is_running"),
    [
        (RestartPolicy.ALWAYS, FAILED, True),
        (RestartPolicy.UNLESS_STOPPED, {"state": TaskState.COMPLETE, "exit_code": 0}, True),
        (RestartPolicy.ON_FAILURE, FAILED, True),
        (RestartPolicy.ON_FAILURE, {"state": TaskState.COMPLETE, "exit_code": 0}, False),
        (RestartPolicy.NO, FAILED, False),
    ],
)
def test_a_task_that_ended_runs_again_as_its_policy_says(
    policy: RestartPolicy, ended: dict[str, object], *, is_running: bool
) -> None:
    """Before the Swarm has made the next task, the replica counts as running."""
    assert state(task(**ended), restart=policy.value).replica(NOW).running is is_running


def test_a_task_that_was_moved_is_no_restart() -> None:
    """The task on the node that was lost has not ended, as far as is known."""
    lost = {**NODES, "n1": replace(NODES["n1"], is_ready=False)}
    found = state(task(1), task(2, node="n2"), nodes=lost, restart="always")
    assert (found.replica(NOW).host, found.end().restarts) == ("node2", 0)


def test_a_replica_that_moves_has_no_address_until_it_runs() -> None:
    """So its target keeps the former one, at which it may still answer."""
    found = state(task(1), task(2, state=TaskState.READY, node="n2", port=0), restart="always").replica(NOW)
    assert (found.running, found.address, found.port) == (True, "", 0)


WAITING = task(2, state=TaskState.PENDING, node="", container="", port=0, error="no suitable node")


@pytest.mark.parametrize(
    ("last", "is_running", "code"),
    [
        ({}, True, None),
        ({"state": TaskState.SHUTDOWN, "exit_code": 0}, False, 0),
        ({"state": TaskState.SHUTDOWN, "exit_code": 137}, False, 137),
        (FAILED, False, 3),
    ],
    ids=["still stopping", "stopped", "killed", "failed meanwhile"],
)
def test_a_stopped_service_shows_how_its_task_ended(
    last: dict[str, object], code: int | None, *, is_running: bool
) -> None:
    """The next task gets no node, and does not count."""
    found = state(task(1, **last), WAITING, stopped="true", restart="always")
    assert (found.replica(NOW).running, found.end().exit_code) == (is_running, code)


@pytest.mark.parametrize("nodes", [{}, {"n1": replace(NODES["n1"], is_ready=False)}], ids=["removed", "lost"])
def test_a_stop_does_not_wait_for_a_lost_node(nodes: dict[str, SwarmNode]) -> None:
    """The Swarm stops the task when the node is back."""
    assert not state(task(1), WAITING, nodes=nodes, stopped="true").is_running


def test_a_service_that_was_stopped_before_its_first_task_does_not_run() -> None:
    """None of its tasks had a node."""
    assert not state(WAITING, stopped="true").is_running


@pytest.mark.parametrize(
    ("shown", "health"),
    [
        ({"state": TaskState.STARTING, "port": 0}, ContainerHealth.STARTING),
        ({}, ContainerHealth.HEALTHY),
        ({"state": TaskState.COMPLETE, "exit_code": 0}, ContainerHealth.UNHEALTHY),
        (
            {"state": TaskState.FAILED, "exit_code": 137, "error": f"{KILLED}: dockerexec: unhealthy container"},
            ContainerHealth.UNHEALTHY,
        ),
        ({"state": TaskState.FAILED, "exit_code": 137, "error": KILLED}, None),
        (FAILED, None),
    ],
    ids=["starting", "healthy", "ended", "killed", "killed by another", "exited"],
)
def test_a_checked_task_shows_its_health(shown: dict[str, object], health: ContainerHealth | None) -> None:
    """A node ends a task that is not healthy. If its process ends with 0 then, the node does not say why."""
    found = state(task(**shown), probed=True).replica(NOW)
    assert (found.health, found.running) == (health, health is not None)


def test_a_checked_task_that_is_started_again_is_starting() -> None:
    """With a policy, the Swarm replaces one that is not healthy."""
    unhealthy = task(1, state=TaskState.COMPLETE, exit_code=0)
    found = state(unhealthy, task(2, state=TaskState.STARTING, port=0), probed=True, restart="always").replica(NOW)
    assert (found.health, found.running) == (ContainerHealth.STARTING, True)


@pytest.mark.parametrize(
    ("shown", "error"),
    [
        ({"state": TaskState.REJECTED, "error": "No such image: sha256:1"}, "No such image: sha256:1 (node node1)"),
        (
            {
                "state": TaskState.FAILED,
                "error": "starting container failed: OCI runtime create failed: unable to start container process: "
                'exec: "nope": executable file not found in $PATH: unknown',
            },
            'exec: "nope": executable file not found in $PATH (node node1)',
        ),
        (FAILED, ""),
        ({}, ""),
    ],
)
def test_a_task_that_could_not_be_started_says_why_and_where(shown: dict[str, object], error: str) -> None:
    """One that exited was started."""
    assert state(task(**shown)).start_error == error


@pytest.mark.parametrize("seconds", [-5, 0, 59])
def test_the_age_of_a_young_process_is_known(seconds: int) -> None:
    """By the clock of the node, which may be ahead."""
    found = state(task(changed_at=NOW - timedelta(seconds=seconds))).replica(NOW)
    assert found.running_for == max(0, seconds)


def test_an_old_process_has_no_age() -> None:
    """As the list of an engine."""
    assert state(task(changed_at=NOW - timedelta(seconds=60))).replica(NOW).running_for is None


@pytest.mark.parametrize(
    ("replica", "name"),
    [
        ("shop.web.r4.abc", "shop-web-r4-abc"),
        ("my_shop.web..r4", "my-shop-web-r4"),
        (f"{'a' * 80}.web", f"{'a' * 54}-d13d04d8"),
        (f"{'a' * 53}..{'b' * 20}", None),
    ],
)
def test_a_service_has_a_name_that_a_swarm_takes(replica: str, name: str | None) -> None:
    """A long one ends with a digest, so two replicas have two names."""
    found = service_name(replica)
    assert len(found) <= 63
    assert "--" not in found
    assert name in (found, None)


def test_a_replica_in_a_zone_gets_a_node_of_the_zone() -> None:
    """Beside the constraints of its own, and not on a node that is drained."""
    options = replace(SPEC.swarm, constraints=("node.role==worker",))
    spec = replica_service(replace(SPEC, zone="zone-a", swarm=options), SYSTEM.now(), probed=False, avoided=["node2"])
    assert spec.constraints == ("node.role==worker", "node.labels.zone==zone-a", "node.hostname!=node2")


def test_the_labels_that_a_swarm_changes_are_not_set_at_the_start() -> None:
    """A policy is set later, and so is a stop."""
    assert not {LABEL_RESTART, LABEL_STOPPED} & replica_service(SPEC, SYSTEM.now(), probed=True).labels.keys()

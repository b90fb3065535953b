"""The state of a replica, from its service, the tasks of it and the nodes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipeline.base.clock import Stamp
from pipeline.engine.container import ContainerHealth
from pipeline.engine.labels import (
    DEFAULT_SERVICE,
    LABEL_GRACE,
    LABEL_RELEASE,
    LABEL_SERVICE,
    LABEL_STARTED,
    LABEL_TEMPLATE,
)
from pipeline.engine.runtime import Replica, ReplicaEnd, RestartPolicy
from pipeline.engine.swarm.replica_service import LABEL_PROBED, LABEL_REPLICA, LABEL_RESTART, LABEL_STOPPED, ZONE
from pipeline.engine.swarm.swarm import SwarmNode, SwarmService, SwarmTask, TaskState

# A runtime counts the seconds of a young process only.
_SECONDS_SHOWN = 60
_NOT_STARTED = "starting container failed"
_UNHEALTHY = "unhealthy container"
_BY_ITSELF = (TaskState.COMPLETE, TaskState.FAILED, TaskState.REJECTED)
_NO_NODE = SwarmNode("", "", "")


@dataclass(frozen=True)
class ServiceState:
    """A service with its tasks, the oldest first, and the nodes by their ids."""

    service: SwarmService
    tasks: Sequence[SwarmTask]
    nodes: Mapping[str, SwarmNode]

    @property
    def name(self) -> str:
        """The name of the replica."""
        return self.service.labels[LABEL_REPLICA]

    @property
    def is_stopped(self) -> bool:
        """Whether the service was stopped. Its last task may still run."""
        return LABEL_STOPPED in self.service.labels

    @property
    def task(self) -> SwarmTask | None:
        """The task that stands for the replica, None before the Swarm has made one.

        It is the newest one. Until a restart policy is set, the first one that has ended is the end of the replica,
        although the Swarm restarts it. A stopped service has another one, which gets no node.
        """
        placed = [task for task in self.tasks if task.node]
        if self.is_stopped:
            return placed[-1] if placed else None
        ended = None if self.policy else next((task for task in self.tasks if task.state in _BY_ITSELF), None)
        return ended or (self.tasks[-1] if self.tasks else None)

    @property
    def policy(self) -> RestartPolicy | None:
        """The restart policy, None until it is set."""
        policy = self.service.labels.get(LABEL_RESTART)
        return RestartPolicy(policy) if policy else None

    @property
    def is_running(self) -> bool:
        """Whether its process runs, or the Swarm is about to start it, again or elsewhere."""
        task = self.task
        if self.is_stopped:
            return task is not None and not task.state.has_ended and not self._is_lost(task)
        if task is None or not task.state.has_ended or self.is_unhealthy:
            return True
        return self._restarts(task)

    @property
    def is_unhealthy(self) -> bool:
        """Whether the node has ended a task whose health check kept failing, before a restart policy was set."""
        task = self.task
        if task is None or self.policy or self.is_stopped or LABEL_PROBED not in self.service.labels:
            return False
        # If its process handles the SIGTERM and ends with 0, the node does not report why it was sent.
        return task.state is TaskState.COMPLETE or _UNHEALTHY in task.error

    @property
    def start_error(self) -> str:
        """Why the task could not be started, empty if it could."""
        task = self.task
        if task is None or not (task.state is TaskState.REJECTED or task.error.startswith(_NOT_STARTED)):
            return ""
        return f"{_essence(task.error)} (node {self._node(task).name})"

    @property
    def obstacle(self) -> str:
        """Why the task has no node yet, empty if it has one."""
        task = self.task
        return task.error if task is not None and task.state is TaskState.PENDING else ""

    def replica(self, now: datetime) -> Replica:
        """Return the replica, with its address once it has one."""
        labels, task = self.service.labels, self.task
        node = self._node(task)
        port = task.port if task else 0
        return Replica(
            name=self.name,
            service=labels.get(LABEL_SERVICE, DEFAULT_SERVICE),
            release=int(labels.get(LABEL_RELEASE, "0")),
            template=labels.get(LABEL_TEMPLATE, ""),
            host=node.name,
            address=node.address if port else "",
            port=port,
            running=self.is_running,
            started=Stamp.from_text(labels[LABEL_STARTED]),
            grace=timedelta(seconds=float(labels[LABEL_GRACE])),
            running_for=self._age(now),
            labels=labels,
            zone=node.labels.get(ZONE),
            health=self._health(),
        )

    def end(self) -> ReplicaEnd:
        """Return how the last process ended. A manager does not learn whether it ran out of memory."""
        task = self.task
        exit_code = None if self.is_running or task is None else task.exit_code or 0
        restarts = sum(each.state in _BY_ITSELF for each in self.tasks if each is not task)
        started = task.changed_at if task and task.state is TaskState.RUNNING else task.created_at if task else None
        return ReplicaEnd(
            exit_code, oom_killed=False, restarts=restarts if self.policy else 0, process_started_at=started
        )

    def _health(self) -> ContainerHealth | None:
        task = self.task
        if LABEL_PROBED not in self.service.labels or not self.is_running:
            return None
        if self.is_unhealthy:
            return ContainerHealth.UNHEALTHY
        is_healthy = task is not None and task.state is TaskState.RUNNING
        return ContainerHealth.HEALTHY if is_healthy else ContainerHealth.STARTING

    def _restarts(self, task: SwarmTask) -> bool:
        """Return whether the Swarm replaces a task that has ended."""
        if self.policy is None or self.policy is RestartPolicy.NO:
            return False
        return self.policy is not RestartPolicy.ON_FAILURE or task.state is not TaskState.COMPLETE

    def _age(self, now: datetime) -> int | None:
        task = self.task
        if task is None or task.state is not TaskState.RUNNING:
            return None
        seconds = max(0, int((now - task.changed_at).total_seconds()))
        return seconds if seconds < _SECONDS_SHOWN else None

    def _node(self, task: SwarmTask | None) -> SwarmNode:
        return self.nodes.get(task.node, _NO_NODE) if task else _NO_NODE

    def _is_lost(self, task: SwarmTask) -> bool:
        return task.node not in self.nodes or not self.nodes[task.node].is_ready


def is_of_swarm(replica: Replica) -> bool:
    """Return whether a replica is a service of a Swarm."""
    return LABEL_REPLICA in replica.labels


def _essence(error: str) -> str:
    """Return the last part of a nested message, which has the cause."""
    return error.rpartition("unable to start container process: ")[2].removesuffix(": unknown")

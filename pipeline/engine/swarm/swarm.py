"""The interface of a Swarm, as one of its managers describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from pipeline.engine.runtime import ReplicaSpec, RestartPolicy


class TaskState(StrEnum):
    """The state of a task. The first ones lead to `running`, the others end it."""

    NEW = "new"
    ALLOCATED = "allocated"
    PENDING = "pending"
    ASSIGNED = "assigned"
    ACCEPTED = "accepted"
    PREPARING = "preparing"
    READY = "ready"
    STARTING = "starting"
    RUNNING = "running"
    COMPLETE = "complete"
    SHUTDOWN = "shutdown"
    FAILED = "failed"
    REJECTED = "rejected"
    REMOVE = "remove"
    ORPHANED = "orphaned"

    @property
    def has_ended(self) -> bool:
        """True once the task runs no process any more."""
        return self in _ENDED


_ENDED = frozenset(TaskState) - {
    *(TaskState.NEW, TaskState.ALLOCATED, TaskState.PENDING, TaskState.ASSIGNED, TaskState.ACCEPTED),
    *(TaskState.PREPARING, TaskState.READY, TaskState.STARTING, TaskState.RUNNING),
}


class Availability(StrEnum):
    """Whether a node gets new tasks (`active`), keeps only those that it has (`pause`), or gives them up (`drain`)."""

    ACTIVE = "active"
    PAUSE = "pause"
    DRAIN = "drain"


@dataclass(frozen=True)
class SwarmNode:
    """A machine of the Swarm. The balancer reaches its published ports at `address`.

    `is_ready` is False about twelve seconds after it was lost. `is_manager`: it may become the leader.
    """

    id: str
    name: str
    address: str
    is_ready: bool = True
    availability: Availability = Availability.ACTIVE
    labels: Mapping[str, str] = field(default_factory=dict)
    is_manager: bool = False
    is_leader: bool = False


@dataclass(frozen=True)
class SwarmTask:
    """One attempt to run a service on one node.

    `node` is the id of its node, empty until there is one. `changed_at` is the time of `state` by the clock of the
    node. `exit_code` is None unless its process has ended. `port` is the port of the node that leads to it, 0 until it
    runs. `error` is why it does not run.
    """

    id: str
    service: str
    created_at: datetime
    changed_at: datetime
    state: TaskState
    node: str = ""
    container: str = ""
    exit_code: int | None = None
    error: str = ""
    port: int = 0


@dataclass(frozen=True)
class SwarmService:
    """A service of the Swarm that runs one replica. `labels` describe the replica. A change raises `version`."""

    id: str
    name: str
    version: int
    labels: Mapping[str, str]


@dataclass(frozen=True)
class SwarmServiceSpec:
    """The specification of a service: at most one task at a time, which runs `replica`.

    `constraints` say which nodes may run it. The Swarm applies `restart` from the start.
    """

    name: str
    labels: Mapping[str, str]
    replica: ReplicaSpec
    constraints: tuple[str, ...]
    restart: RestartPolicy


class Swarm(Protocol):
    """The Swarm that the local engine manages, limited to the services of one home.

    Every method is safe from any thread. It raises `EngineFault` if the engine is no manager of a Swarm, if the Swarm
    has no leader, or if it does not respond within its deadline. Methods that change a service do nothing for one that
    is gone. Reads may be as old as the leader is cut off from the others: `confirm` tells.
    """

    def nodes(self) -> tuple[SwarmNode, ...]:
        """Return every node, ready or not."""

    def local_node(self) -> str:
        """Return the id of the node that the local engine is."""

    def services(self, pipeline: str) -> tuple[SwarmService, ...]:
        """Return every service of a pipeline."""

    def tasks(self, pipeline: str) -> tuple[SwarmTask, ...]:
        """Return the tasks of every service of a pipeline, the oldest first. A Swarm forgets old ones that ended."""

    def find(self, replica: str) -> SwarmService | None:
        """Return the service of a replica, or None."""

    def tasks_of(self, service: str) -> tuple[SwarmTask, ...]:
        """Return the tasks of one service by its id, the oldest first."""

    def tasks_on(self, node: str) -> tuple[SwarmTask, ...]:
        """Return the tasks of every program on a node, by its id."""

    def create(self, spec: SwarmServiceSpec) -> None:
        """Create a service. Raises `StageFailed` if the Swarm refuses it, and if its name is in use."""

    def set_label(self, service: str, name: str, value: str) -> None:
        """Set a label of a service. Its task is not replaced."""

    def stop(self, service: str) -> None:
        """Let a service have no task, and send SIGTERM to the current one. Returns at once. Its tasks stay listed."""

    def remove(self, service: str) -> None:
        """Remove a service, its tasks and their containers."""

    def logs(self, task: SwarmTask, lines: int) -> tuple[str, ...]:
        """Return the last lines of output of a task, or nothing if its node does not have them any more."""

    def confirm(self) -> None:
        """Return if most managers follow the leader. So what was read before is not that of a deposed one."""

    def release(self) -> None:
        """Remove what `confirm` has left in the Swarm."""

    def set_availability(self, node: str, availability: Availability) -> None:
        """Set the availability of a node by its id."""


class OpenSwarm(Swarm, Protocol):
    """A Swarm with a connection of its own."""

    def close(self) -> None:
        """Close the connection."""

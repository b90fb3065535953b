"""What can be done with the containers of a Swarm: by its managers, and by the engines of its nodes that are known."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Generic, Protocol, TypeVar

from pipeline.base.errors import EngineFault, StageFailed
from pipeline.engine.console import Console, LogStream, Process
from pipeline.engine.container import Container
from pipeline.engine.interfaces import CpuTime, Engine, ExistingContainers
from pipeline.engine.labels import ROLE_APP
from pipeline.engine.swarm.swarm import Swarm, SwarmTask
from pipeline.engine.swarm.task_containers import TaskContainers


class Closable(Protocol):
    """A connection that can be closed."""

    def close(self) -> None:
        """Close the connection."""


T = TypeVar("T", bound=Closable)


class NodeConnections(Generic[T]):
    """Connections to the engines of nodes by their host names, each made when it is needed. Safe from any thread.

    `local` is that to the engine of this machine. `connect` has what connects to each of the others that are known.
    """

    def __init__(self, swarm: Swarm, local: T, connect: Mapping[str, Callable[[], T]]) -> None:
        self._swarm = swarm
        self._local = local
        self._connect = connect
        self._opened: dict[str, T] = {}
        self._lock = threading.Lock()

    def to(self, node: str, name: str) -> T:
        """Return the connection to a node. Raises `StageFailed` if its engine is not known."""
        if name not in self._connect:
            if node == self._swarm.local_node():
                return self._local
            raise StageFailed(
                f"the container is on node {name}, whose engine is not known here",
                hint=f"add it to deploy.hosts and deploy: {{name: {name}, docker: ssh://USER@{name}}}",
            )
        with self._lock:
            if name not in self._opened:
                self._opened[name] = self._connect[name]()
            return self._opened[name]

    def close(self) -> None:
        """Close the connections, that to this machine included."""
        with self._lock:
            for connection in (self._local, *self._opened.values()):
                connection.close()
            self._opened.clear()


class SwarmContainers:
    """The containers of replicas in a Swarm. See `ExistingContainers`.

    The id of one is that of its task. Methods that need the engine of its node raise `StageFailed` if that is not
    known.
    """

    missing: Mapping[str, EngineFault] = MappingProxyType({})

    def __init__(self, swarm: Swarm, nodes: NodeConnections[Engine]) -> None:
        self._swarm = swarm
        self._tasks = TaskContainers(swarm)
        self._nodes = nodes

    def for_pipeline(self, pipeline: str, role: str = ROLE_APP) -> list[Container]:
        """Return the containers of a pipeline's replicas. There are none of another role."""
        return self._tasks.for_pipeline(pipeline) if role == ROLE_APP else []

    def find(self, name: str) -> Container | None:
        """Return the container of a replica, or None."""
        return self._tasks.find(name)

    def inspect(self, container: str) -> Container:
        """Return one container in full. Raises `EngineFault` if it is gone."""
        return self._tasks.inspect(container)

    def kill(self, container: str, signal: str = "SIGKILL") -> None:
        """Send a signal. Does nothing if the container is gone."""
        if task := self._tasks.task(container):
            self._at(task).kill(task.container, signal)

    def remove(self, container: str) -> None:
        """Remove the service of a replica."""
        if task := self._tasks.task(container):
            self._swarm.remove(task.service)

    def logs(self, container: str, tail: int = 20) -> tuple[str, ...]:
        """Return the last lines of output, or nothing if the container is gone or its log driver keeps none."""
        task = self._tasks.task(container)
        return self._swarm.logs(task, tail) if task else ()

    def exec(self, container: str, command: Sequence[str], limit: timedelta, cancelled: threading.Event) -> int | None:
        """Run a command in a container and return its exit code."""
        task = self._tasks.task(container)
        return self._at(task).exec(task.container, command, limit, cancelled) if task else None

    def cpu_time(self, container: str) -> CpuTime | None:
        """Return the CPU time of a container, or None if it does not run or the engine of its node is not known."""
        task = self._tasks.task(container)
        with suppress(StageFailed):
            return self._at(task).cpu_time(task.container) if task else None
        return None

    def cpus(self, container: str) -> int | None:
        """Return the number of processors of a container's node. None if the container is gone, or unknown."""
        task = self._tasks.task(container)
        with suppress(StageFailed):
            return self._at(task).cpus(task.container) if task else None
        return None

    def _at(self, task: SwarmTask) -> ExistingContainers:
        return self._nodes.to(task.node, self._tasks.node(task)).containers


@dataclass(frozen=True)
class SwarmMember:
    """A Swarm among hosts: its containers, in place of those of an engine."""

    containers: SwarmContainers
    close: Callable[[], None] = lambda: None


class SwarmConsole:
    """Commands in the containers of replicas in a Swarm. See `Console`.

    `log` returns the output of a task by its id, from the time of a line on, and follows it if the third is true.
    """

    missing: Mapping[str, EngineFault] = MappingProxyType({})

    def __init__(
        self,
        swarm: Swarm,
        nodes: NodeConnections[Console],
        log: Callable[[str, bytes, bool, int | None], LogStream | None],
        close: Callable[[], None],
    ) -> None:
        self._tasks = TaskContainers(swarm)
        self._nodes = nodes
        self._log = log
        self._close = close

    def containers(self, pipeline: str) -> list[Container]:
        """Return the containers of a pipeline's replicas, in any state."""
        return self._tasks.for_pipeline(pipeline)

    def has(self, container: str) -> bool:
        """Return whether there is a container of the home by that name or id."""
        return self._tasks.task(container) is not None or self._tasks.find(container) is not None

    def log(
        self, container: str, since: bytes = b"", *, follow: bool = False, tail: int | None = None
    ) -> LogStream | None:
        """Return the output that the node of the task has kept."""
        task = self._tasks.task(container)
        return self._log(task.id, since, follow, tail) if task else None

    def exec(self, container: str, command: Sequence[str], *, tty: bool) -> Process:
        """Start a command in a container that runs."""
        task = self._existing(container)
        return self._at(task).exec(task.container, command, tty=tty)

    def copy(
        self, container: str, name: str, command: Sequence[str], *, tty: bool, entrypoint: Sequence[str] | None = None
    ) -> Process:
        """Start a container like another one, on its node."""
        task = self._existing(container)
        return self._at(task).copy(task.container, name, command, tty=tty, entrypoint=entrypoint)

    def remove(self, container: str) -> None:
        """Do nothing: a replica is removed as a service, and there are no others."""

    def close(self) -> None:
        """Close the connections, those of processes excepted. Safe to repeat."""
        self._close()

    def _existing(self, container: str) -> SwarmTask:
        task = self._tasks.task(container) or (self._tasks.task(container) if self.has(container) else None)
        if task is None:
            raise StageFailed(f"No such container: {container}")
        return task

    def _at(self, task: SwarmTask) -> Console:
        return self._nodes.to(task.node, self._tasks.node(task))

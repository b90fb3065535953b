"""A Swarm in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import count

from pipeline.base.clock import SYSTEM, Stamp
from pipeline.base.errors import EngineFault, StageFailed
from pipeline.engine.container import SIGKILL_CODE, ContainerSpec
from pipeline.engine.labels import LABEL_PIPELINE
from pipeline.engine.runtime import ReplicaSpec, RestartPolicy
from pipeline.engine.swarm.replica_service import LABEL_REPLICA, LABEL_STOPPED
from pipeline.engine.swarm.swarm import (
    Availability,
    SwarmNode,
    SwarmService,
    SwarmServiceSpec,
    SwarmTask,
    TaskState,
)
from pipeline.testing.fakes.faults import Faults
from pipeline.testing.fakes.program import Program

_NO_LEADER = "the Swarm cannot decide anything now: The swarm does not have a leader"
_NO_NODE = "no suitable node"


@dataclass
class _Task:
    """A task, and the program that it runs."""

    shown: SwarmTask
    program: Program
    lines: list[str] = field(default_factory=list)


@dataclass
class _Service:
    """A service with its tasks, the oldest first."""

    shown: SwarmService
    spec: SwarmServiceSpec
    tasks: list[_Task] = field(default_factory=list)


class FakeSwarm:
    """Services and tasks in memory. They act at once: a task that ends has its successor in the next list.

    `program` returns the program of each replica. `now` gives the time. Every image exists, except those in
    `missing_images`. `faults` makes calls fail, hang or lose their response by the names of the methods.
    """

    def __init__(
        self,
        *nodes: SwarmNode,
        program: Callable[[ReplicaSpec], Program] = lambda _: Program(),
        now: Callable[[], Stamp] = SYSTEM.now,
    ) -> None:
        self.faults = Faults()
        self.missing_images: set[str] = set()
        self.secrets: set[str] = set()
        self._program = program
        self._now = now
        self._lock = threading.RLock()
        self._nodes = {node.id: node for node in nodes or (SwarmNode("n1", "node1", "10.0.0.1", is_leader=True),)}
        self._services: dict[str, _Service] = {}
        self._numbers = count(1)
        self._ports = count(32768)
        self._has_quorum = self._is_followed = True

    def nodes(self) -> tuple[SwarmNode, ...]:
        """Return every node, ready or not."""
        with self.faults.call("nodes"), self._read():
            return tuple(self._nodes.values())

    def local_node(self) -> str:
        """Return the id of the first node."""
        with self.faults.call("local_node"):
            return next(iter(self._nodes))

    def services(self, pipeline: str) -> tuple[SwarmService, ...]:
        """Return every service of a pipeline."""
        with self.faults.call("services"), self._read():
            return tuple(each.shown for each in self._of(pipeline))

    def tasks(self, pipeline: str) -> tuple[SwarmTask, ...]:
        """Return the tasks of every service of a pipeline, the oldest first."""
        with self.faults.call("tasks"), self._read():
            return tuple(self._shown(each, task) for each in self._of(pipeline) for task in each.tasks)

    def find(self, replica: str) -> SwarmService | None:
        """Return the service of a replica, or None."""
        with self.faults.call("find"), self._read():
            found = (each.shown for each in self._services.values())
            return next((each for each in found if each.labels[LABEL_REPLICA] == replica), None)

    def tasks_of(self, service: str) -> tuple[SwarmTask, ...]:
        """Return the tasks of one service by its id, the oldest first."""
        with self.faults.call("tasks_of"), self._read():
            found = self._services.get(service)
            return tuple(self._shown(found, task) for task in found.tasks) if found else ()

    def tasks_on(self, node: str) -> tuple[SwarmTask, ...]:
        """Return the tasks of every service on a node."""
        with self.faults.call("tasks_on"), self._read():
            found = (task.shown for service in self._services.values() for task in service.tasks)
            return tuple(task for task in found if task.node == node)

    def create(self, spec: SwarmServiceSpec) -> None:
        """Create a service. Raises `StageFailed` if the Swarm refuses it, and if its name is in use."""
        with self.faults.call("create"), self._write():
            name = spec.replica.name
            if any(each.shown.name == spec.name for each in self._services.values()):
                raise StageFailed(f"{name} cannot be started: the name is in use")
            for secret in spec.replica.swarm.secrets:
                if secret.name not in self.secrets:
                    raise StageFailed(f"{name} cannot be started: the Swarm has no secret {secret.name}")
            identity = f"s{next(self._numbers)}"
            service = _Service(SwarmService(identity, spec.name, 1, dict(spec.labels)), spec)
            self._services[identity] = service
            self._schedule(service)

    def set_label(self, service: str, name: str, value: str) -> None:
        """Set a label of a service."""
        with self.faults.call("set_label"), self._write():
            if found := self._services.get(service):
                labels = {**found.shown.labels, name: value}
                found.shown = replace(found.shown, version=found.shown.version + 1, labels=labels)

    def stop(self, service: str) -> None:
        """Send SIGTERM to the current task, and SIGKILL at once if its program ignores that."""
        with self.faults.call("stop"), self._write():
            if found := self._services.get(service):
                labels = {**found.shown.labels, LABEL_STOPPED: "true"}
                found.shown = replace(found.shown, version=found.shown.version + 1, labels=labels)
                for task in found.tasks:
                    self._shut_down(task)
                self._add(found, TaskState.PENDING, error=_NO_NODE)

    def remove(self, service: str) -> None:
        """Remove a service and its tasks."""
        with self.faults.call("remove"), self._write():
            self._services.pop(service, None)

    def logs(self, task: SwarmTask, lines: int) -> tuple[str, ...]:
        """Return the last lines of output of a task."""
        with self.faults.call("logs"), self._read():
            every = (each for service in self._services.values() for each in service.tasks)
            found = next((each for each in every if each.shown.id == task.id), None)
            return tuple(found.lines[-lines:]) if found else ()

    def confirm(self) -> None:
        """Return if most managers follow the leader."""
        with self.faults.call("confirm"), self._write():
            pass

    def release(self) -> None:
        """Do nothing: `confirm` leaves nothing."""
        with self.faults.call("release"), self._write():
            pass

    def set_availability(self, node: str, availability: Availability) -> None:
        """Set the availability of a node. One that is drained gives up its tasks."""
        with self.faults.call("set_availability"), self._write():
            if node in self._nodes:
                self._nodes[node] = replace(self._nodes[node], availability=availability)
                if availability is Availability.DRAIN:
                    self._move_from(node)

    def close(self) -> None:
        """Do nothing: there is no connection to close."""

    def exit(self, replica: str, code: int = 0) -> None:
        """End a replica's process from inside."""
        with self._lock:
            service = next(each for each in self._services.values() if each.shown.labels[LABEL_REPLICA] == replica)
            self._end(service, self._current(service), code)

    def lose_node(self, node: str) -> None:
        """Let a node be lost, as a manager sees it after some time. Its tasks are started elsewhere."""
        with self._lock:
            self._nodes[node] = replace(self._nodes[node], is_ready=False)
            for service in self._services.values():
                current = service.tasks[-1] if service.tasks else None
                if current and current.shown.node == node and not current.shown.state.has_ended:
                    self._schedule(service)

    def return_node(self, node: str) -> None:
        """Let a node be back. What runs elsewhere by now is shut down on it."""
        with self._lock:
            self._nodes[node] = replace(self._nodes[node], is_ready=True)
            for service in self._services.values():
                for task in service.tasks[:-1]:
                    if task.shown.node == node:
                        self._shut_down(task)

    def lose_quorum(self, *, cut_off: bool = False) -> None:
        """Let too few managers reach one another. With `cut_off`, this one was the leader and does not know yet."""
        with self._lock:
            self._has_quorum, self._is_followed = cut_off, False

    def regain_quorum(self) -> None:
        """Let the managers reach one another again."""
        with self._lock:
            self._has_quorum = self._is_followed = True

    def _read(self) -> _Held:
        return _Held(self._lock, lambda: self._has_quorum)

    def _write(self) -> _Held:
        return _Held(self._lock, lambda: self._has_quorum and self._is_followed)

    def _of(self, pipeline: str) -> Iterable[_Service]:
        return [each for each in self._services.values() if each.shown.labels[LABEL_PIPELINE] == pipeline]

    def _schedule(self, service: _Service) -> None:
        """Give a service a new task on the node with the fewest."""
        node = self._choose(service.spec)
        if node is None:
            self._add(service, TaskState.PENDING, error=_NO_NODE)
            return
        replica = service.spec.replica
        if replica.image in self.missing_images:
            self._add(service, TaskState.REJECTED, node, error=f"No such image: {replica.image}")
            return
        task = self._add(service, TaskState.RUNNING, node)
        if task.program.refusal:
            error = f"starting container failed: {task.program.refusal}"
            task.shown = replace(task.shown, state=TaskState.FAILED, exit_code=127, error=error, port=0)
            return
        task.lines.extend(task.program.lines)
        if task.program.exit_code is not None:
            self._end(service, task, task.program.exit_code)

    def _choose(self, spec: SwarmServiceSpec) -> str | None:
        tasks = [task.shown for each in self._services.values() for task in each.tasks]
        usable = [
            node
            for node in self._nodes.values()
            if node.is_ready and node.availability is Availability.ACTIVE and _meets(node, spec.constraints)
        ]
        running = [task.node for task in tasks if not task.state.has_ended]
        return min(usable, key=lambda node: running.count(node.id)).id if usable else None

    def _add(self, service: _Service, state: TaskState, node: str = "", error: str = "") -> _Task:
        now, number = self._now().wall, next(self._numbers)
        program = self._program(service.spec.replica).within(_container(service.spec.replica))
        shown = SwarmTask(
            id=f"t{number}",
            service=service.shown.id,
            created_at=now,
            changed_at=now,
            state=state,
            node=node,
            container=f"c{number}" if state is TaskState.RUNNING else "",
            error=error,
            port=next(self._ports) if state is TaskState.RUNNING and service.spec.replica.port else 0,
        )
        service.tasks.append(_Task(shown, program))
        return service.tasks[-1]

    def _current(self, service: _Service) -> _Task:
        return next(task for task in reversed(service.tasks) if task.shown.state is TaskState.RUNNING)

    def _end(self, service: _Service, task: _Task, code: int) -> None:
        state = TaskState.FAILED if code else TaskState.COMPLETE
        error = f"task: non-zero exit ({code})" if code else ""
        self._settle(task, state, code, error)
        restart = service.spec.restart
        never = restart is RestartPolicy.NO or (restart is RestartPolicy.ON_FAILURE and not code)
        # One that always fails at once would be restarted without end.
        if not never and task.program.exit_code is None:
            self._schedule(service)

    def _shut_down(self, task: _Task) -> None:
        # A node that is lost hears of it when it is back.
        if task.shown.state is TaskState.RUNNING and self._nodes[task.shown.node].is_ready:
            code = task.program.on_sigterm
            self._settle(task, TaskState.SHUTDOWN, SIGKILL_CODE if code is None else code)

    def _settle(self, task: _Task, state: TaskState, code: int, error: str = "") -> None:
        now = self._now().wall
        task.shown = replace(task.shown, state=state, exit_code=code, error=error, changed_at=now, port=0)

    def _move_from(self, node: str) -> None:
        for service in self._services.values():
            if LABEL_STOPPED in service.shown.labels:
                continue
            for task in [each for each in service.tasks if each.shown.node == node]:
                if task.shown.state is TaskState.RUNNING:
                    self._shut_down(task)
                    self._schedule(service)

    def _shown(self, service: _Service, task: _Task) -> SwarmTask:
        """Return a task as its health check finds it now."""
        shown, probe = task.shown, service.spec.replica.probe
        command = (probe.command or task.program.healthcheck) if probe else None
        if probe is None or command is None or shown.state is not TaskState.RUNNING:
            return shown
        age = self._now().wall - shown.created_at
        if age >= probe.interval and task.program.commands.get(command) == 0:
            return shown
        failures = (age - probe.start_period) // probe.interval
        if failures < probe.threshold:
            return replace(shown, state=TaskState.STARTING, port=0)
        return replace(shown, state=TaskState.COMPLETE, exit_code=task.program.on_sigterm or 0, port=0)


class _Held:
    """A block with the lock of the fake. Raises `EngineFault` if the Swarm cannot answer."""

    def __init__(self, lock: threading.RLock, answers: Callable[[], bool]) -> None:
        self._lock = lock
        self._answers = answers

    def __enter__(self) -> None:
        self._lock.acquire()
        if not self._answers():
            self._lock.release()
            raise EngineFault(_NO_LEADER)

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _meets(node: SwarmNode, constraints: Iterable[str]) -> bool:
    known = {f"node.labels.{name}": value for name, value in node.labels.items()}
    known |= {"node.hostname": node.name, "node.id": node.id}
    return all(_meets_one(known, constraint) for constraint in constraints)


def _meets_one(known: dict[str, str], constraint: str) -> bool:
    name, operator, value = constraint.partition("!=" if "!=" in constraint else "==")
    return (known.get(name.strip()) == value.strip()) is (operator == "==")


def _container(replica: ReplicaSpec) -> ContainerSpec:
    return ContainerSpec(
        replica.name,
        replica.image,
        {},
        pids=replica.pids,
        privileges=replica.privileges,
        options=replica.options,
    )

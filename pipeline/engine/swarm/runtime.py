"""The runtime that runs each replica as a service of a Swarm."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import timedelta

from pipeline.base.clock import SYSTEM, Clock
from pipeline.base.errors import EngineFault, StageFailed
from pipeline.engine.container import SIGKILL_CODE, HealthProbe
from pipeline.engine.runtime import Replica, ReplicaEnd, ReplicaSpec, RestartPolicy, StopResult
from pipeline.engine.swarm.replica_service import LABEL_RESTART, replica_service
from pipeline.engine.swarm.service_state import ServiceState
from pipeline.engine.swarm.swarm import Swarm, SwarmNode, SwarmService, TaskState

_POLL_INTERVAL = timedelta(milliseconds=30)
# How long a replica may have no node. A node that was lost or drained may come back meanwhile.
_PLACING_TIME = timedelta(seconds=10)
# How long a node may take to pull the image.
_PULLING_TIME = timedelta(minutes=10)
_STARTING_TIME = timedelta(seconds=60)
_ENDING_TIME = timedelta(seconds=60)


class SwarmRuntime:
    """A runtime that runs each replica as a service of its own, with a port of the node that runs it. See `Runtime`.

    The Swarm moves a replica whose node is lost, and restarts one that ends: it then has another address. A replica
    keeps the time to stop of its specification. It is never lost: without a leader, every call raises `EngineFault`.

    `healthcheck` returns the HEALTHCHECK of an image, or None. `reference` returns the name of an image, by its id,
    under which nodes get it. No replica is started on the nodes of the names `drained`, and those there are leaving.
    """

    lost: tuple[str, ...] = ()

    def __init__(
        self,
        swarm: Swarm,
        healthcheck: Callable[[str], object | None] = lambda _: None,
        *,
        reference: Callable[[str], str] = lambda image: image,
        drained: Collection[str] = (),
        clock: Clock = SYSTEM,
    ) -> None:
        self._swarm = swarm
        self._healthcheck = healthcheck
        self._reference = reference
        self._drained = frozenset(drained)
        self._clock = clock
        self._lock = threading.Lock()
        # What was listed last, by pipeline, and was confirmed.
        self._confirmed: dict[str, object] = {}

    def prepare(self, pipeline: str) -> None:
        """Check that the Swarm has a leader. Replicas need no network of their own."""
        with self._lock:
            self._confirmed.pop(pipeline, None)
        self._swarm.confirm()

    def list(self, pipeline: str) -> tuple[Replica, ...]:
        """Return every replica of the pipeline, in any state. What has changed is confirmed by most managers."""
        # Tasks first: one whose service is not there yet is left out, and a service without a task is about to start.
        tasks = self._swarm.tasks(pipeline)
        services = self._swarm.services(pipeline)
        nodes = self._swarm.nodes()
        # What is created through this manager cannot be missing in what it lists later.
        if tasks or services or self._knows(pipeline):
            self._confirm(pipeline, (tasks, services, nodes))
        known = {node.id: node for node in nodes}
        now = self._clock.now().wall
        states = (ServiceState(each, [task for task in tasks if task.service == each.id], known) for each in services)
        replicas = (state.replica(now) for state in states)
        return tuple(replace(each, is_leaving=each.host in self._drained) for each in replicas)

    def start(self, spec: ReplicaSpec) -> None:
        """Start a replica, and return once its process runs. A service that has ended is replaced."""
        if left := self._state(spec.name):
            if left.is_running and not left.is_stopped:
                return
            self._swarm.remove(left.service.id)
        probed = self._is_probed(spec.probe, spec.image)
        placed = replace(spec, image=self._reference(spec.image))
        self._swarm.create(replica_service(placed, self._clock.now(), probed=probed, avoided=sorted(self._drained)))
        try:
            self._await_start(spec.name)
        except BaseException:
            self.remove(spec.name)
            raise

    def set_restart_policy(self, name: str, policy: RestartPolicy) -> None:
        """Let the Swarm restart the replica from now on. One that has ended before stays ended."""
        state = self._state(name)
        if state and state.is_running and not state.is_unhealthy:
            self._swarm.set_label(state.service.id, LABEL_RESTART, policy.value)

    def stop(self, name: str, grace: timedelta) -> StopResult:
        """Send SIGTERM, and SIGKILL after the grace of the replica's specification. Returns when it has exited.

        A replica on a node that is lost counts as not running.
        """
        before = self._state(name)
        if before is None:
            return StopResult.NOT_RUNNING
        # Also one that has ended: until then, the Swarm restarts it.
        if not before.is_stopped:
            self._swarm.stop(before.service.id)
        deadline = self._clock.monotonic() + (grace + _ENDING_TIME).total_seconds()
        while (state := self._state(name)) and state.is_running:
            self._wait_until(deadline, f"{name} has not exited within {grace.total_seconds():g} s of its stop")
        if state is None or state.task is None or not before.is_running or not state.task.state.has_ended:
            return StopResult.NOT_RUNNING
        return StopResult.KILLED if state.task.exit_code == SIGKILL_CODE else StopResult.TERMINATED

    def remove(self, name: str) -> None:
        """Remove the service of a replica. The Swarm removes the container."""
        if service := self._swarm.find(name):
            self._swarm.remove(service.id)

    def ended(self, name: str) -> ReplicaEnd | None:
        """Return how the replica's last process ended, or None if its service is gone."""
        state = self._state(name)
        return state.end() if state else None

    def tail(self, name: str, lines: int = 20) -> tuple[str, ...]:
        """Return the last lines of output, also of tasks that have ended, or nothing if the service is gone."""
        service = self._swarm.find(name)
        found: tuple[str, ...] = ()
        for task in reversed(self._swarm.tasks_of(service.id) if service else ()):
            if len(found) >= lines:
                break
            if task.container:
                found = (*self._swarm.logs(task, lines - len(found)), *found)
        return found

    def clear(self, pipeline: str) -> None:
        """Forget the pipeline, and leave nothing of this home in the Swarm if it was the last one."""
        with self._lock:
            self._confirmed.pop(pipeline, None)
        self._swarm.release()

    def _is_probed(self, probe: HealthProbe | None, image: str) -> bool:
        return probe is not None and (probe.command is not None or self._healthcheck(image) is not None)

    def _state(self, name: str) -> ServiceState | None:
        service = self._swarm.find(name)
        return self._state_of(service) if service else None

    def _state_of(self, service: SwarmService) -> ServiceState:
        tasks = self._swarm.tasks_of(service.id)
        return ServiceState(service, tasks, self._known_nodes())

    def _known_nodes(self) -> dict[str, SwarmNode]:
        return {node.id: node for node in self._swarm.nodes()}

    def _await_start(self, name: str) -> None:
        """Return when the task runs, or its health is being checked. Raises `StageFailed` if it cannot be started."""
        begun = self._clock.monotonic()
        while state := self._state(name):
            if error := state.start_error:
                raise StageFailed(f"{name} cannot be started: {error}")
            if _has_started(state):
                return
            waited = timedelta(seconds=self._clock.monotonic() - begun)
            if waited >= _PLACING_TIME and state.obstacle:
                raise StageFailed(
                    f"{name} cannot be started: {state.obstacle}", hint="`pipeline node list` shows the nodes"
                )
            limit = _PULLING_TIME if state.task and state.task.state is TaskState.PREPARING else _STARTING_TIME
            self._wait_until(begun + limit.total_seconds(), f"{name} was not started within {limit}")
        raise EngineFault(f"{name} was removed by another program while it was started")

    def _wait_until(self, deadline: float, message: str) -> None:
        if self._clock.monotonic() >= deadline:
            raise EngineFault(f"the Swarm does not act: {message}", hint="`docker service ps` shows its tasks")
        self._clock.wait(threading.Event(), _POLL_INTERVAL)

    def _knows(self, pipeline: str) -> bool:
        with self._lock:
            return pipeline in self._confirmed

    def _confirm(self, pipeline: str, found: object) -> None:
        """Confirm what was listed, unless it is what was confirmed before."""
        with self._lock:
            is_known = self._confirmed.get(pipeline) == found
        if not is_known:
            self._swarm.confirm()
            with self._lock:
                self._confirmed[pipeline] = found


def _has_started(state: ServiceState) -> bool:
    task = state.task
    if task is None:
        return False
    # The task of a service whose health is checked stays in this state until it is healthy.
    is_checked = state.replica(task.changed_at).health is not None and task.state is TaskState.STARTING
    return is_checked or task.state is TaskState.RUNNING or task.state.has_ended

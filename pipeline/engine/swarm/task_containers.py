"""The containers of the tasks of a Swarm, as far as a manager knows them."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from pipeline.base.errors import EngineFault
from pipeline.engine.container import Container
from pipeline.engine.labels import LABEL_ROLE, ROLE_APP
from pipeline.engine.swarm.replica_service import LABEL_REPLICA
from pipeline.engine.swarm.service_state import ServiceState
from pipeline.engine.swarm.swarm import Swarm, SwarmTask


class TaskContainers:
    """Shows the current task of each replica as a container, whose id is that of the task. Safe from any thread."""

    def __init__(self, swarm: Swarm) -> None:
        self._swarm = swarm
        self._lock = threading.Lock()
        self._tasks: dict[str, SwarmTask] = {}
        self._nodes: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def for_pipeline(self, pipeline: str) -> list[Container]:
        """Return the containers of a pipeline's replicas. One that has no node yet has none."""
        tasks, services = self._swarm.tasks(pipeline), self._swarm.services(pipeline)
        nodes = {node.id: node for node in self._swarm.nodes()}
        states = [ServiceState(each, [task for task in tasks if task.service == each.id], nodes) for each in services]
        return [container for container in self._remember(states) if container]

    def find(self, name: str) -> Container | None:
        """Return the container of a replica, or None."""
        service = self._swarm.find(name)
        if service is None:
            return None
        nodes = {node.id: node for node in self._swarm.nodes()}
        return self._remember([ServiceState(service, self._swarm.tasks_of(service.id), nodes)])[0]

    def inspect(self, container: str) -> Container:
        """Return the container of a task that was listed. Raises `EngineFault` if its service is gone."""
        task = self.task(container)
        name = self._names.get(task.service, "") if task else container
        if found := self.find(name):
            return found
        raise EngineFault(f"No such task: {container}")

    def task(self, container: str) -> SwarmTask | None:
        """Return a task that was listed, by its id or by the name of its replica."""
        with self._lock:
            return self._tasks.get(container)

    def node(self, task: SwarmTask) -> str:
        """Return the host name of the node of a task that was listed."""
        with self._lock:
            return self._nodes.get(task.node, "")

    def _remember(self, states: Sequence[ServiceState]) -> list[Container | None]:
        with self._lock:
            for state in states:
                self._nodes |= {node.id: node.name for node in state.nodes.values()}
                if task := state.task:
                    self._tasks |= {task.id: task, state.name: task}
                    self._names[task.service] = state.name
        return list(map(_container, states))


def _container(state: ServiceState) -> Container | None:
    task = state.task
    if task is None or not task.node:
        return None
    end = state.end()
    node = state.nodes.get(task.node)
    return Container(
        id=task.id,
        name=state.service.labels[LABEL_REPLICA],
        state="running" if state.is_running else "exited",
        image="",
        labels={**state.service.labels, LABEL_ROLE: ROLE_APP},
        address=node.address if node else "",
        created_at=task.created_at,
        exit_code=end.exit_code,
        restarts=end.restarts,
        process_started_at=end.process_started_at,
        host=node.name if node else "",
    )

"""The tasks of services: their containers, as the engine lists them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.base.home import Home
from pipeline.ecs.records import ACCOUNT, Service
from pipeline.engine.container import Container
from pipeline.engine.hosts import local_engine
from pipeline.engine.labels import LABEL_RELEASE, LABEL_RUN

_ID_LENGTH = 32

Containers = Callable[[str], Sequence[Container]]
"""Returns the containers of a pipeline, in any state."""


@dataclass(frozen=True)
class Task:
    """A task of a service."""

    service: Service
    container: Container

    @property
    def id(self) -> str:
        """The end of its ARN."""
        return self.container.id[:_ID_LENGTH]

    @property
    def arn(self) -> str:
        """The ARN."""
        service = self.service
        return f"arn:aws:ecs:{service.region}:{ACCOUNT}:task/{service.cluster}/{self.id}"

    @property
    def status(self) -> str:
        """The last status, in ECS's words."""
        if self.container.is_running:
            return "RUNNING"
        return "PENDING" if self.container.state == "created" else "STOPPED"

    @property
    def release(self) -> int:
        """The number of its release."""
        return int(self.container.labels.get(LABEL_RELEASE, "0"))

    @property
    def run(self) -> str:
        """The number of the run that has started it."""
        return self.container.labels.get(LABEL_RUN, "0")


def containers_of(home: Home) -> Containers:
    """Return the function that lists the containers of a home. It raises `EngineFault`."""

    def listed(pipeline: str) -> Sequence[Container]:
        with local_engine(home.id) as engine:
            return engine.containers.for_pipeline(pipeline)

    return listed


def tasks_of(service: Service, containers: Containers) -> list[Task]:
    """Return the tasks of a service, oldest first."""
    found = (Task(service, container) for container in containers(service.pipeline))
    return sorted(found, key=lambda task: (task.container.created_at, task.id))

"""What ECS keeps, as values: clusters, task definitions and services."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipeline.ecs.stack_pipeline import StackPipeline

ACCOUNT = "000000000000"
_SLUG = 19


@dataclass(frozen=True)
class Cluster:
    """A name that services are grouped by. `token` is that of the call that made it."""

    owner: str
    region: str
    name: str
    token: str
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        """The ARN."""
        return f"arn:aws:ecs:{self.region}:{ACCOUNT}:cluster/{self.name}"


@dataclass(frozen=True)
class TaskDefinition:
    """One revision of a family. It never changes, except that it becomes inactive.

    `container` is the name of its only container, and `ports` are the container's. `settings` are keys of the section
    `deploy` of a pipeline.yaml. `properties` are those of the template. `secrets` are the variables whose values are
    parameters of SSM, with their names or ARNs. In the first `start_period` seconds, a task need not be healthy.
    """

    owner: str
    region: str
    family: str
    revision: int
    token: str
    created: datetime
    container: str
    image: str
    ports: tuple[int, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)
    active: bool = True
    secrets: Mapping[str, str] = field(default_factory=dict)
    start_period: int = 0

    @property
    def label(self) -> str:
        """The short name, FAMILY:REVISION."""
        return f"{self.family}:{self.revision}"

    @property
    def arn(self) -> str:
        """The ARN."""
        return f"arn:aws:ecs:{self.region}:{ACCOUNT}:task-definition/{self.label}"

    @property
    def sha(self) -> str:
        """The id of the revision in place of a commit's."""
        return hashlib.sha256(f"{self.owner}\0{self.arn}".encode()).hexdigest()[:40]


@dataclass(frozen=True)
class Group:
    """The target group of a service, and the port of its containers. `settings` are those that never change."""

    id: str
    owner: str
    name: str
    port: int
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Wanted:
    """What a service is asked to be.

    `task_definition` is an ARN. `minimum` and `maximum` are percentages of the desired count, `grace` is in seconds.
    `forced` counts the deployments that replace all tasks although nothing else has changed. `circuit_breaker` is the
    number or the percentage of tasks that may fail in a deployment. None: the first one that fails ends it.
    """

    task_definition: str
    desired_count: int
    minimum: int = 100
    maximum: int = 200
    grace: int = 0
    forced: int = 0
    circuit_breaker: int | str | None = None


@dataclass(frozen=True)
class Service:
    """A service, behind a load balancer if it has a group.

    `run` is the number of the run that makes it what is wanted, None before that is queued. `deleting`: it is being
    taken down.
    """

    owner: str
    region: str
    cluster: str
    name: str
    token: str
    group: Group | None
    wanted: Wanted
    properties: Mapping[str, Any] = field(default_factory=dict)
    run: int | None = None
    deleting: bool = False

    def is_as_wanted(self, other: object) -> bool:
        """Return whether a deployment of this record is one of the other, too."""
        return isinstance(other, Service) and (
            (self.wanted, self.group, self.deleting) == (other.wanted, other.group, other.deleting)
        )

    @property
    def arn(self) -> str:
        """The ARN."""
        return f"arn:aws:ecs:{self.region}:{ACCOUNT}:service/{self.cluster}/{self.name}"

    @property
    def pipeline(self) -> str:
        """The name of its pipeline."""
        slug = re.sub("[^a-z0-9]+", "-", self.name.lower())[:_SLUG].strip("-")
        key = "\0".join((self.owner, self.region, self.cluster, self.name))
        return f"{PREFIX}{slug}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"


PREFIX = "ecs-"
"""The beginning of the names of the pipelines of services."""


@dataclass(frozen=True)
class Declared:
    """A resource that is only kept, such as a scaling policy. `arn` is its physical id, also if that is none."""

    owner: str
    type: str
    arn: str
    token: str
    properties: Mapping[str, Any]


@dataclass(frozen=True)
class EcsState:
    """Everything that is kept. Frozen: changes return a new one."""

    clusters: tuple[Cluster, ...] = ()
    task_definitions: tuple[TaskDefinition, ...] = ()
    services: tuple[Service, ...] = ()
    declared: tuple[Declared, ...] = ()
    pipelines: tuple[StackPipeline, ...] = ()

    @property
    def worked_on(self) -> tuple[Service | StackPipeline, ...]:
        """Everything that has a pipeline of its own."""
        return *self.services, *self.pipelines

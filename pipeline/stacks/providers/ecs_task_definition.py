"""AWS::ECS::TaskDefinition: what the containers of a service are made from."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from pipeline.base.clock import SYSTEM
from pipeline.base.errors import ConfigError
from pipeline.ecs.ecs import Ecs
from pipeline.ecs.records import TaskDefinition
from pipeline.stacks.provider import Pending, Properties, StackContext, State
from pipeline.stacks.providers.ecs_cluster import written
from pipeline.stacks.providers.ecs_container import (
    ContainerDefinition,
    Volume,
    check_container,
    settings_of,
    unused,
)

TYPE = "AWS::ECS::TaskDefinition"


class TaskDefinitionProperties(Properties):
    """The properties of a task definition. Properties that are not here are refused."""

    family: str | None = Field(None, pattern=r"^[A-Za-z0-9_-]{1,255}$")
    container_definitions: list[ContainerDefinition]
    network_mode: str | None = None
    cpu: str | None = None
    memory: str | None = None
    requires_compatibilities: list[str] = Field(default_factory=list)
    execution_role_arn: str | None = None
    task_role_arn: str | None = None
    volumes: list[Volume] = Field(default_factory=list)
    runtime_platform: dict[str, str] | None = None
    placement_constraints: list[dict[str, Any]] = Field(default_factory=list)
    enable_fault_injection: bool = False
    tags: list[dict[str, str]] | None = None


class EcsTaskDefinition:
    """Keeps revisions. `Ref` is the ARN with its revision. Each change makes a new revision."""

    properties = TaskDefinitionProperties
    replaces = frozenset(
        field.alias or name for name, field in TaskDefinitionProperties.model_fields.items() if name != "tags"
    )

    def __init__(self, ecs: Ecs, context: StackContext) -> None:
        self._ecs = ecs
        self._context = context

    def create(self, token: str, properties: TaskDefinitionProperties) -> State | Pending:
        """Keep a new revision."""
        made = self._ecs.store.add_task_definition(
            revision_of(properties, self._context.owner, self._context.region, token)
        )
        return _state(made)

    def find(self, token: str) -> str | None:
        """Find a revision by its token."""
        return next((t.arn for t in self._own() if t.token == token and t.active), None)

    def read(self, physical_id: str) -> State | None:
        """Return a revision, unless it is inactive."""
        return next((_state(t) for t in self._own() if t.arn == physical_id and t.active), None)

    def update(
        self,
        physical_id: str,
        before: TaskDefinitionProperties,  # noqa: ARG002
        after: TaskDefinitionProperties,
    ) -> State | Pending:
        """Keep other tags."""
        found = self._ecs.store.retag(self._context.owner, physical_id, written(after))
        if found is None:
            raise ConfigError(f"Unable to describe task definition {physical_id}")
        return _state(found)

    def delete(self, physical_id: str) -> Pending | None:
        """Make a revision inactive, as AWS does. A service that uses it keeps it."""
        self._ecs.store.deactivate(self._context.owner, physical_id)
        return None

    def _own(self) -> list[TaskDefinition]:
        return [t for t in self._ecs.store.read().task_definitions if t.owner == self._context.owner]


def revision_of(properties: TaskDefinitionProperties, owner: str, region: str, token: str) -> TaskDefinition:
    """Return a revision without a number. Raises `ConfigError` for what cannot be kept."""
    if len(properties.container_definitions) != 1:
        raise ConfigError(
            f"ContainerDefinitions: a task has exactly one container here, got {len(properties.container_definitions)}",
            hint="make a service of each",
        )
    (container,) = properties.container_definitions
    check_container(container)
    return TaskDefinition(
        owner=owner,
        region=region,
        family=properties.family or token,
        revision=0,
        token=token,
        created=SYSTEM.now().wall,
        container=container.name,
        image=container.image,
        ports=tuple(mapping.container_port for mapping in container.port_mappings),
        settings=settings_of(container, properties.volumes, properties.cpu, properties.memory),
        properties=written(properties),
        secrets={secret.name: secret.value_from for secret in container.secrets},
        start_period=container.health_check.start_period if container.health_check else 0,
    )


def _state(task: TaskDefinition) -> State:
    (container,) = TaskDefinitionProperties.model_validate(task.properties).container_definitions
    return State(task.arn, {"TaskDefinitionArn": task.arn}, task.properties, _reason(task, container))


def _reason(task: TaskDefinition, container: ContainerDefinition) -> str:
    roles = [name for name in ("TaskRoleArn", "ExecutionRoleArn") if name in task.properties]
    parts = [*unused(container), *(["roles grant nothing"] if roles else [])]
    return "; ".join(parts)

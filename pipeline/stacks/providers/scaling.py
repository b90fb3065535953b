"""AWS::ApplicationAutoScaling::ScalableTarget and ScalingPolicy: kept, without effect."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import Field

from pipeline.base.errors import ConfigError
from pipeline.ecs.ecs import Ecs
from pipeline.ecs.records import ACCOUNT, Declared
from pipeline.stacks.provider import Pending, Properties, StackContext, State
from pipeline.stacks.providers.ecs_cluster import written

TARGET_TYPE = "AWS::ApplicationAutoScaling::ScalableTarget"
POLICY_TYPE = "AWS::ApplicationAutoScaling::ScalingPolicy"
_REASON = "kept as a declaration: services of ECS are not scaled"


class ScalableTargetProperties(Properties):
    """What may be scaled."""

    min_capacity: int
    max_capacity: int
    resource_id: str
    scalable_dimension: str
    service_namespace: str
    role_arn: str | None = Field(None, alias="RoleARN")
    scheduled_actions: list[dict[str, Any]] | None = None
    suspended_state: dict[str, Any] | None = None


class ScalingPolicyProperties(Properties):
    """When to scale."""

    policy_name: str
    policy_type: str
    scaling_target_id: str | None = None
    resource_id: str | None = None
    scalable_dimension: str | None = None
    service_namespace: str | None = None
    step_scaling_policy_configuration: dict[str, Any] | None = None
    target_tracking_scaling_policy_configuration: dict[str, Any] | None = None
    predictive_scaling_policy_configuration: dict[str, Any] | None = None


M = TypeVar("M", bound=Properties)


class _Kept(ABC, Generic[M]):
    """Keeps resources of one type."""

    properties: type[M]
    type: ClassVar[str]
    attribute: ClassVar[str]

    def __init__(self, ecs: Ecs, context: StackContext) -> None:
        self._store = ecs.store
        self._context = context

    @abstractmethod
    def _id(self, token: str, properties: M) -> str:
        """Return the id of a new resource."""

    def create(self, token: str, properties: M) -> State | Pending:
        """Keep a resource."""
        id_ = self._id(token, properties)
        return self._put(Declared(self._context.owner, self.type, id_, token, written(properties)))

    def find(self, token: str) -> str | None:
        """Find a resource by its token."""
        found = self._store.declared(self._context.owner, token)
        return found.arn if found and found.token == token else None

    def read(self, physical_id: str) -> State | None:
        """Return the resource."""
        found = self._store.declared(self._context.owner, physical_id)
        return self._state(found) if found else None

    def update(self, physical_id: str, before: M, after: M) -> State | Pending:  # noqa: ARG002
        """Keep the resource with other properties."""
        found = self._store.declared(self._context.owner, physical_id)
        if found is None:
            raise ConfigError(f"{physical_id} does not exist")
        return self._put(Declared(found.owner, found.type, found.arn, found.token, written(after)))

    def delete(self, physical_id: str) -> Pending | None:
        """Forget the resource."""
        self._store.drop(self._context.owner, physical_id)
        return None

    def _put(self, declared: Declared) -> State:
        self._store.put_declared(declared)
        return self._state(declared)

    def _state(self, declared: Declared) -> State:
        return State(declared.arn, {self.attribute: declared.arn}, declared.properties, _REASON)


class ScalableTarget(_Kept[ScalableTargetProperties]):
    """Keeps what may be scaled. `Ref` is RESOURCE|DIMENSION|NAMESPACE."""

    properties = ScalableTargetProperties
    replaces = frozenset({"ResourceId", "ScalableDimension", "ServiceNamespace"})
    type = TARGET_TYPE
    attribute = "Id"

    def _id(self, token: str, properties: ScalableTargetProperties) -> str:  # noqa: ARG002
        return "|".join((properties.resource_id, properties.scalable_dimension, properties.service_namespace))


class ScalingPolicy(_Kept[ScalingPolicyProperties]):
    """Keeps when to scale. `Ref` is the ARN."""

    properties = ScalingPolicyProperties
    replaces = frozenset({"PolicyName", "ResourceId", "ScalableDimension", "ServiceNamespace", "ScalingTargetId"})
    type = POLICY_TYPE
    attribute = "Arn"

    def _id(self, token: str, properties: ScalingPolicyProperties) -> str:
        resource, _, namespace = (properties.scaling_target_id or "||ecs").split("|")
        key = hashlib.sha256(token.encode()).hexdigest()
        number = "-".join((key[:8], key[8:12], key[12:16], key[16:20], key[20:32]))
        place = f"{properties.service_namespace or namespace}/{properties.resource_id or resource}"
        return (
            f"arn:aws:autoscaling:{self._context.region}:{ACCOUNT}:scalingPolicy:{number}:resource/{place}"
            f":policyName/{properties.policy_name}"
        )

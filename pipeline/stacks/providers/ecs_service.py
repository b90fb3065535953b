"""AWS::ECS::Service: containers in a target group, rolled by the deployments of pipelines."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

from pydantic import Field

from pipeline.balancer.resources import TargetGroupResource
from pipeline.base.errors import ConfigError
from pipeline.ecs.circuit_breaker import threshold
from pipeline.ecs.ecs import Ecs
from pipeline.ecs.records import Group, Service, TaskDefinition, Wanted
from pipeline.stacks.provider import Pending, Properties, StackContext, State
from pipeline.stacks.providers.ecs_cluster import written

TYPE = "AWS::ECS::Service"
_DEFAULT_CLUSTER = "default"
# As in CloudFormation. A rollout has deadlines of its own, which are shorter.
_TIMEOUT = timedelta(hours=3)


class ServiceLoadBalancer(Properties):
    """The target group in which the containers are registered."""

    target_group_arn: str | None = None
    container_name: str | None = None
    container_port: int | None = Field(None, ge=1, le=65535)
    load_balancer_name: str | None = None


class ThresholdConfiguration(Properties):
    """How many tasks may fail in a deployment: a percentage of the desired count, from 3 to 200, or a number."""

    type: Literal["COUNT", "BOUNDED_PERCENT"] = "BOUNDED_PERCENT"
    value: int = Field(50, ge=1)


class CircuitBreaker(Properties):
    """Whether tasks that fail are replaced and counted. A deployment that fails is always rolled back."""

    enable: bool = False
    rollback: bool = False
    reset_on_healthy_task: Literal[False] | None = None
    threshold_configuration: ThresholdConfiguration = Field(ThresholdConfiguration())


class DeploymentConfiguration(Properties):
    """The limits of a deployment, in percent of the desired count."""

    minimum_healthy_percent: int = Field(100, ge=0, le=100)
    maximum_percent: int = Field(200, ge=100)
    deployment_circuit_breaker: CircuitBreaker | None = None
    strategy: Literal["ROLLING"] = "ROLLING"
    alarms: dict[str, Any] | None = None


class DeploymentController(Properties):
    """Who deploys. Only ECS itself is offered."""

    type: Literal["ECS"] = "ECS"


class ServiceProperties(Properties):
    """The properties of a service. Properties that are not here are refused."""

    cluster: str = _DEFAULT_CLUSTER
    service_name: str | None = Field(None, pattern=r"^[A-Za-z0-9_-]{1,255}$")
    task_definition: str
    desired_count: int | None = Field(None, ge=0)
    load_balancers: list[ServiceLoadBalancer] = Field(default_factory=list)
    deployment_configuration: DeploymentConfiguration = Field(DeploymentConfiguration())
    deployment_controller: DeploymentController | None = None
    health_check_grace_period_seconds: int = Field(0, ge=0)
    launch_type: str | None = None
    platform_version: str | None = None
    scheduling_strategy: Literal["REPLICA"] = "REPLICA"
    role: str | None = None
    network_configuration: dict[str, Any] | None = None
    capacity_provider_strategy: list[dict[str, Any]] | None = None
    placement_constraints: list[dict[str, Any]] | None = None
    placement_strategies: list[dict[str, Any]] | None = None
    availability_zone_rebalancing: str | None = None
    enable_execute_command: bool = False
    enable_ecs_managed_tags: bool = Field(False, alias="EnableECSManagedTags")
    propagate_tags: str | None = None
    tags: list[dict[str, str]] | None = None


class EcsService:
    """Makes services. `Ref` is the ARN.

    Create and update are pending until the deployment has ended. One that fails has put the tasks of before back.
    """

    properties = ServiceProperties
    replaces = frozenset({"Cluster", "ServiceName", "LaunchType", "SchedulingStrategy", "Role", "DeploymentController"})

    def __init__(self, ecs: Ecs, context: StackContext) -> None:
        self._ecs = ecs
        self._context = context

    def create(self, token: str, properties: ServiceProperties) -> State | Pending:
        """Start the tasks, and wait until they are healthy."""
        cluster, name = self._cluster(properties.cluster), properties.service_name or token
        group = self._group(properties)
        if group and (waiting := self._until_used(group)):
            return waiting
        service = Service(
            owner=self._context.owner,
            region=self._context.region,
            cluster=cluster,
            name=name,
            token=token,
            group=group,
            wanted=self._wanted(properties, None),
            properties=written(properties),
        )
        return self._apply(service)

    def find(self, token: str) -> str | None:
        """Find a service by its token."""
        found = self._ecs.store.service(self._context.owner, token)
        return found.arn if found and found.token == token else None

    def read(self, physical_id: str) -> State | None:
        """Return the service."""
        found = self._ecs.store.service(self._context.owner, physical_id)
        return _state(found) if found else None

    def update(
        self,
        physical_id: str,
        before: ServiceProperties,  # noqa: ARG002
        after: ServiceProperties,
    ) -> State | Pending:
        """Deploy what has changed, and wait for the end of the deployment."""
        known = self._ecs.store.service(self._context.owner, physical_id)
        if known is None:
            raise ConfigError(f"Service not found: {physical_id}")
        group = self._group(after)
        if group and (waiting := self._until_used(group)):
            return waiting
        return self._apply(
            replace(known, group=group, wanted=self._wanted(after, known), properties=written(after), deleting=False)
        )

    def delete(self, physical_id: str) -> Pending | None:
        """Drain and remove all tasks."""
        found = self._ecs.store.service(self._context.owner, physical_id)
        doing = self._ecs.services.remove(found) if found else None
        return Pending(doing, timeout=_TIMEOUT) if doing else None

    def _apply(self, service: Service) -> State | Pending:
        doing = self._ecs.services.apply(service)
        return Pending(doing, service.arn, timeout=_TIMEOUT) if doing else _state(service)

    def _cluster(self, key: str) -> str:
        found = self._ecs.store.cluster(self._context.owner, self._context.region, key)
        if found is None and key != _DEFAULT_CLUSTER:
            raise ConfigError(f"Cluster not found: {key}")
        return found.name if found else key

    def _task(self, properties: ServiceProperties) -> TaskDefinition:
        owner, key = self._context.owner, properties.task_definition
        found = self._ecs.store.task_definition(owner, key, self._context.region)
        if found is None:
            raise ConfigError(f"TaskDefinition not found: {properties.task_definition}")
        return found

    def _wanted(self, properties: ServiceProperties, known: Service | None) -> Wanted:
        """Return what is wanted. Without a count, the present one stays."""
        count = properties.desired_count
        if count is None:
            count = self._ecs.services.count(known) if known else 1
        limits = properties.deployment_configuration
        return Wanted(
            self._task(properties).arn,
            count,
            limits.minimum_healthy_percent,
            limits.maximum_percent,
            properties.health_check_grace_period_seconds,
            known.wanted.forced if known else 0,
            _threshold(limits.deployment_circuit_breaker),
        )

    def _group(self, properties: ServiceProperties) -> Group | None:
        """Return the target group. Raises `ConfigError` if it does not exist."""
        if not properties.load_balancers:
            return None
        wanted = _only(properties.load_balancers)
        arn = wanted.target_group_arn
        if arn is None:
            raise ConfigError("LoadBalancers: TargetGroupArn is required; classic load balancers are not offered")
        found = self._resource(arn)
        if found is None:
            raise ConfigError(f"The specified target group does not exist. (target group: {arn})")
        return Group(found.id, found.owner, found.name, self._port(wanted, self._task(properties)), _fixed(found))

    def _until_used(self, group: Group) -> Pending | None:
        """Return `Pending` until a listener forwards to the group, which another resource may bring about."""
        if self._ecs.registry().uses(group.owner, group.name):
            return None

        def refuse() -> State:
            raise ConfigError(f"The target group {group.name} does not have an associated load balancer.")

        return Pending(f"waiting until a listener forwards to {group.name}", otherwise=refuse)

    def _resource(self, arn: str) -> TargetGroupResource | None:
        found = self._ecs.registry().target_groups.get(arn.rpartition("/")[2])
        is_own = found is not None and found.owner == self._context.owner
        return found if found and is_own and arn.endswith(f":targetgroup/{found.name}/{found.id}") else None

    def _port(self, wanted: ServiceLoadBalancer, task: TaskDefinition) -> int:
        if wanted.container_name != task.container:
            raise ConfigError(f"The container {wanted.container_name} does not exist in the task definition.")
        if wanted.container_port not in task.ports:
            raise ConfigError(
                f"The container {task.container} did not have a container port {wanted.container_port} defined."
            )
        return wanted.container_port


def _threshold(breaker: CircuitBreaker | None) -> int | str | None:
    counted = breaker.threshold_configuration if breaker else ThresholdConfiguration()
    return threshold(enable=bool(breaker and breaker.enable), kind=counted.type, value=counted.value)


def _only(load_balancers: list[ServiceLoadBalancer]) -> ServiceLoadBalancer:
    if len(load_balancers) != 1:
        raise ConfigError(f"LoadBalancers: a service has at most one target group here, got {len(load_balancers)}")
    return load_balancers[0]


def _fixed(group: TargetGroupResource) -> dict[str, Any]:
    """Return the settings of a group that cannot change while it has targets."""
    names = {"protocol", "protocol_version", "target_type"}
    return group.settings.model_dump(mode="json", include=names & type(group.settings).model_fields.keys())


def _state(service: Service) -> State:
    return State(
        service.arn, {"Name": service.name, "ServiceArn": service.arn}, service.properties, _reason(service.properties)
    )


_MEANINGLESS = (
    *("LaunchType", "PlatformVersion", "NetworkConfiguration", "CapacityProviderStrategy", "Role"),
    *("PlacementConstraints", "PlacementStrategies", "EnableExecuteCommand", "AvailabilityZoneRebalancing"),
)


def _reason(properties: Any) -> str:
    found = [name for name in _MEANINGLESS if name in properties]
    return f"on one machine without effect: {', '.join(found)}" if found else ""

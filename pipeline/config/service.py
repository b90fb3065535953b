"""The settings of a service: what its containers are, and how they are replaced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from pipeline.alarms.rollback_on import RollbackOn
from pipeline.balancer.model import Model, Name
from pipeline.base.cron import Cron
from pipeline.base.errors import FieldError, refuse
from pipeline.base.quantity import Amount, Duration, Whole, resolve_amount
from pipeline.config.circuit_breaker import CircuitBreaker
from pipeline.config.container_settings import OPTIONAL_SETTINGS, ContainerSettings
from pipeline.config.hooks import Hooks
from pipeline.config.job import OF_JOB
from pipeline.config.on_drain import ON_DRAIN, OnDrain
from pipeline.config.steps import Approval, Command, ReleaseCommand
from pipeline.config.strategy import ROLLING_LIMITS, Strategy, plain_name
from pipeline.config.swarm import SwarmSettings
from pipeline.engine.container import HealthProbe

OPTIONS = "Options of the stage in `uses`. The shipped stage has none."
# Left out of a stored release unless they are set, so that the releases of earlier versions keep their form.
_ADDED = ("health_check", "strategy", "rollback_on", "hooks", "circuit_breaker", "swarm", *OPTIONAL_SETTINGS, *OF_JOB)
# Of a container that nothing checks.
_UPTIME = timedelta(seconds=5)


class Rolling(Model):
    """Limits of a rolling deployment: containers above `replicas`, and healthy targets below it."""

    max_surge: Amount = Field(
        1,
        description="How many containers above `replicas` may run during a rollout: a number or a percentage "
        "(rounded up).",
    )
    max_unavailable: Amount = Field(
        0,
        description="How many of `replicas` may be unavailable during a rollout: a number or a percentage "
        "(rounded down).",
    )

    def limits(self, replicas: int) -> tuple[int, int]:
        """Return `max_surge` and `max_unavailable` as numbers of containers. A rollout moves nothing if both are 0."""
        return (
            resolve_amount(self.max_surge, replicas, round_up=True),
            resolve_amount(self.max_unavailable, replicas, round_up=False),
        )


class ServiceHealthCheck(Model):
    """Health of a service without a target group.

    Without `command` and `uptime`, it is the HEALTHCHECK of the image, as the image times it. If the image has none, a
    container is healthy after five seconds.
    """

    command: Command | None = Field(
        None,
        description="Command that Docker runs in the container. It exits with 0 if the container is healthy. None: the "
        "HEALTHCHECK of the image.",
    )
    interval: Duration = Field(
        timedelta(seconds=5),
        ge=timedelta(seconds=1),
        le=timedelta(hours=1),
        description="Time before the first run of `command` and between two runs.",
    )
    timeout: Duration = Field(
        timedelta(seconds=5),
        ge=timedelta(seconds=1),
        le=timedelta(hours=1),
        description="Maximum duration of `command`. If it takes longer, it has failed.",
    )
    unhealthy_threshold: Whole = Field(
        3,
        ge=1,
        le=100,
        description="Failures of `command` in a row after which a container is unhealthy. After one success it is "
        "healthy.",
    )
    start_period: Duration = Field(
        timedelta(0),
        ge=timedelta(0),
        le=timedelta(hours=1),
        description="Time after the start of a container in which failures of `command` do not count.",
    )
    uptime: Duration | None = Field(
        None,
        ge=timedelta(0),
        le=timedelta(seconds=50),
        description="Time after which a running container is healthy, whatever its image says. None: 5s if the image "
        "has no HEALTHCHECK.",
    )

    @property
    def probe(self) -> HealthProbe | None:
        """The check as the engine runs it, None if only the time counts."""
        if self.uptime is not None:
            return None
        return HealthProbe(self.command, self.interval, self.timeout, self.unhealthy_threshold, self.start_period)

    @property
    def needed_uptime(self) -> timedelta:
        """How long a container without a check must run until it is healthy."""
        return _UPTIME if self.uptime is None else self.uptime

    @model_validator(mode="after")
    def _check_single(self) -> Self:
        refuse(self._mistakes())
        return self

    def _mistakes(self) -> Iterator[FieldError]:
        if self.command and self.uptime is not None:
            yield FieldError("uptime", "must not be combined with command")
        if self.start_period and not self.command:
            yield FieldError("start_period", "requires command; a HEALTHCHECK of the image has its own")

    @model_serializer(mode="wrap")
    def _stored(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        # Left out unless it is set, so that earlier releases and containers keep their form.
        return {name: value for name, value in data.items() if name != "start_period" or self.start_period}


class ServiceSettings(ContainerSettings):
    """The settings of a service that a release keeps."""

    example: ClassVar[str] = "{target_group: web}"
    # Those of Compose, Kubernetes and ECS.
    names_elsewhere: ClassVar[Mapping[str, str]] = {
        "count": "replicas",
        "cron": "schedule",
        "depends_on": "after",
        "desired_count": "replicas",
        "env": "environment",
        "healthcheck": "health_check",
        "instances": "replicas",
        "mem_limit": "memory",
        "ports": "target_group, and the ports in balancer",
    }

    schedule: Cron | None = Field(
        None,
        description="Cron expression of five fields. It makes the service a job: a container runs at each of these "
        "times, one at a time, and a deployment starts none. None: the service runs all the time.",
    )
    # Stored as it is: a release may come from a machine that knows more zones.
    timezone: str | None = Field(
        None, description="Time zone of `schedule`, an IANA name such as Europe/Berlin. None: local time."
    )
    timeout: Duration = Field(
        timedelta(hours=1),
        ge=timedelta(seconds=1),
        le=timedelta(days=30),
        description="Maximum duration of a run of the job. After it, the run is stopped with `stop_grace`.",
    )
    uses: str = Field(
        "docker", min_length=1, description="Stage that puts images into service: entry point `deploy.NAME`."
    )
    options: dict[str, Any] = Field({}, alias="with", description=OPTIONS)
    target_group: Name | None = Field(
        None,
        description="Target group of `balancer` in which the containers are registered. None: the service gets no "
        "requests, such as a worker.",
    )
    health_check: ServiceHealthCheck = Field(
        ServiceHealthCheck(), description="Health of a service without a target group."
    )
    strategy: Strategy | None = Field(
        None,
        description="How traffic moves to a new release: rolling, blue_green, canary, linear, all_at_once, a name of "
        "CodeDeploy such as Canary10Percent5Minutes, or a section with a type. None: rolling.",
    )
    rollback_on: RollbackOn | None = Field(
        None,
        description="Conditions on the new release while it receives traffic, until its bake time ends. Each of them "
        "rolls it back. None: none.",
    )
    rolling: Rolling = Field(Rolling(), description="Limits of a rollout.")
    function: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+$",
        description="Python function of the image, as MODULE.FUNCTION, that receives ELB's events. Requires "
        "target_type lambda. A Lambda image does not need it.",
    )
    approval: Approval | None = Field(None, description="Manual approval before each deployment. None: not required.")
    release_command: ReleaseCommand | None = Field(
        None, description="Command that runs once in the new image before it receives traffic, such as migrations."
    )
    circuit_breaker: CircuitBreaker | None = Field(
        None,
        description="Replaces new containers that fail, up to a number of them, as in ECS. None: the first one that "
        "exits or does not become healthy fails the release.",
    )
    hooks: Hooks = Field(
        Hooks(), description="Commands, calls and pauses at the events of each deployment, under CodeDeploy's names."
    )
    on_drain: OnDrain | None = Field(None, description=ON_DRAIN)
    swarm: SwarmSettings = Field(
        SwarmSettings(), description="Nodes and secrets of the service, for `deploy.runtime: swarm` only."
    )
    restart: Literal["no", "on-failure", "always", "unless-stopped"] = Field(
        "always",
        description="Docker's restart policy, set once a container is healthy. Only `always` restarts containers after "
        "a crash of Docker itself.",
    )
    deploy_timeout: Duration = Field(
        timedelta(seconds=60), description="Time for a new container to become healthy. After it, the release fails."
    )
    unhealthy_timeout: Duration = Field(
        timedelta(seconds=30),
        description="The daemon replaces a container whose target is unhealthy for this long, within "
        "rolling.max_unavailable. The wait grows with each replacement.",
    )
    retain: Whole = Field(5, ge=1, le=100, description="Number of releases whose image is kept for a rollback.")

    @model_validator(mode="before")
    @classmethod
    def _limits_by_name(cls, data: Any) -> Any:
        name = data.get("strategy") if isinstance(data, dict) else None
        limits = ROLLING_LIMITS.get(plain_name(name)) if isinstance(name, str) else None
        if limits is None:
            return data
        if data.get("rolling") is not None:
            raise FieldError("strategy", f"{name} sets the limits of rolling; remove one of the two")
        return {**data, "rolling": limits}

    @property
    def is_job(self) -> bool:
        """True for a scheduled job, of which no replica runs."""
        return self.schedule is not None

    @model_validator(mode="after")
    def _check_service(self) -> Self:
        refuse(self._mistakes_of_settings())
        return self

    def _mistakes_of_settings(self) -> Iterator[FieldError]:
        if self.function and self.command:
            yield FieldError("function", "must not be combined with command")
        if self.function and self.entrypoint is not None:
            yield FieldError("function", "must not be combined with entrypoint")
        if self.target_group and self.health_check != ServiceHealthCheck():
            yield FieldError(
                "health_check",
                "is for a service without a target group; set health_check of the target group "
                f"{self.target_group} instead",
            )

    @model_serializer(mode="wrap")
    def _stored(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        unset = {name for name in _ADDED if getattr(self, name) == type(self).model_fields[name].default}
        return {name: value for name, value in data.items() if name not in unset}

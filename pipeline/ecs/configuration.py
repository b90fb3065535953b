"""The configuration of a service's pipeline, made from its record and its task definition. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.balancer.model import SharedGroup
from pipeline.base.errors import ConfigError
from pipeline.config.load import Configuration
from pipeline.config.models import Pipeline
from pipeline.config.secrets import Secrets, escape_references
from pipeline.ecs.records import Group, Service, TaskDefinition, Wanted

STAGE = "_ecs"
"""The name of the stages Source and Build of services."""

_TO_BECOME_HEALTHY = 60
_WHOLE = 100
_NO_GROUP = "none"


def service_configuration(
    file: Path, service: Service, task: TaskDefinition, parameters: Mapping[str, str] | None = None
) -> Configuration:
    """Return the configuration. `file` is that of the record. Raises `ConfigError` for what no pipeline can do.

    `parameters` are the values of the task's secrets, which are read when tasks are started.
    """
    data = {
        "name": service.pipeline,
        "execution_mode": "queued",
        "source": {"uses": STAGE, "with": {"task_definition": task.arn}},
        "triggers": {"watch": False},
        "build": {"uses": STAGE, "with": {"image": task.image}},
        "deploy": {
            **_container(task, service.group),
            # A pipeline.yaml has at least one replica, and limits that move something. `_scaled` sets 0.
            "replicas": service.wanted.desired_count or _WHOLE,
            "rolling": rolling(service.wanted),
            **_circuit_breaker(service.wanted),
            "deploy_timeout": f"{_TO_BECOME_HEALTHY + service.wanted.grace + task.start_period}s",
        },
        "balancer": shared_group(service.group, service.wanted.forced),
    }
    try:
        pipeline = _scaled(Pipeline.model_validate(data), service.wanted.desired_count)
        return Configuration(pipeline, file, {}, Secrets(others=parameters))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{service.name}: {key}: {first['msg']}") from None


def _container(task: TaskDefinition, group: Group | None) -> dict[str, Any]:
    """Return the keys of `deploy` that the task's container and its place come to.

    Behind a load balancer, the check of the target group replaces that of the container.
    """
    settings = dict(task.settings)
    given = {name: escape_references(text) for name, text in dict(settings.get("environment", {})).items()}
    secrets = {name: f"${{secret:{value_from}}}" for name, value_from in task.secrets.items()}
    settings["environment"] = {**given, **secrets}
    if group is not None:
        settings.pop("health_check", None)
        settings["target_group"] = group.name
    elif "health_check" not in settings:
        settings["target_group"] = _NO_GROUP
    return settings


def _circuit_breaker(wanted: Wanted) -> dict[str, Any]:
    count = wanted.circuit_breaker
    return {} if count is None else {"circuit_breaker": {"threshold": count}}


def _scaled(pipeline: Pipeline, count: int) -> Pipeline:
    return pipeline.model_copy(update={"deploy": pipeline.deploy.model_copy(update={"replicas": count})})


def shared_group(group: Group | None, forced: int = 0) -> SharedGroup:
    """Return the target group as the service sees it: with the port of its containers."""
    if group is None:
        # No traffic comes to this port.
        groups: dict[str, Any] = {_NO_GROUP: {"port": 1}}
    else:
        groups = {group.name: {**group.settings, "port": group.port}}
    owner = group.owner if group else None
    return SharedGroup.model_validate({"group_owner": owner, "target_groups": groups, "forced": forced})


def rolling(wanted: Wanted) -> Mapping[str, Any]:
    """Return the limits of a rollout.

    A percentage stays one if it gives a whole number of tasks, so that a changed count alone is no new release. Both
    limits are rounded as ECS does, so that neither is exceeded. Raises `ConfigError` if they allow no rollout.
    """
    surge, unavailable = wanted.maximum - _WHOLE, _WHOLE - wanted.minimum
    if wanted.desired_count == 0 and (surge > 0 or unavailable > 0):
        return {"max_surge": f"{surge}%", "max_unavailable": f"{unavailable}%"}
    if wanted.desired_count == 0:
        return {"max_surge": 1}
    more, fewer = wanted.desired_count * surge // _WHOLE, wanted.desired_count * unavailable // _WHOLE
    if more <= 0 and fewer <= 0:
        raise ConfigError(
            f"a MinimumHealthyPercent of {wanted.minimum} and a MaximumPercent of {wanted.maximum} allow no replacement"
            f" of {wanted.desired_count} task(s): no task may start before another stops, and none may stop"
        )
    return {"max_surge": _limit(surge, more, wanted), "max_unavailable": _limit(unavailable, fewer, wanted)}


def _limit(percent: int, count: int, wanted: Wanted) -> str | int:
    return f"{percent}%" if wanted.desired_count * percent == count * _WHOLE else count

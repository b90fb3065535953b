"""UpdateService: what a call changes, and the start of its deployment."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.base.errors import ConfigError, StageFailed
from pipeline.ecs.circuit_breaker import threshold
from pipeline.ecs.ecs import Ecs
from pipeline.ecs.records import Service, TaskDefinition, Wanted

_OFFERED = frozenset(
    {
        *("cluster", "service", "desiredCount", "taskDefinition", "forceNewDeployment"),
        *("deploymentConfiguration", "healthCheckGracePeriodSeconds"),
    }
)
_LIMITS = {"minimumHealthyPercent", "maximumPercent"}
# Seconds that a call waits for the end of the deployment that it replaces. After it, clients try again.
_START_TIMEOUT = 20.0
_POLL_INTERVAL = 0.1


def changed_service(ecs: Ecs, call: Call, known: Service) -> Service:
    """Return what a call makes of a service. Raises `AwsError` for what cannot be changed here."""
    given = call.parameters
    for name in given.keys() - _OFFERED:
        raise _refused(f"{name} cannot be changed here. Change the template of its stack.")
    limits = given.get("deploymentConfiguration", {})
    for name in limits.keys() - _LIMITS - {"deploymentCircuitBreaker"}:
        raise _refused(f"deploymentConfiguration.{name} is not supported.")
    if not limits.get("deploymentCircuitBreaker", {"enable": True}).get("enable", True):
        raise _refused("deploymentCircuitBreaker: a deployment that fails is always rolled back here.")
    task = _task(ecs, call, known)
    wanted = Wanted(
        task.arn,
        given.get("desiredCount", ecs.services.count(known)),
        limits.get("minimumHealthyPercent", known.wanted.minimum),
        limits.get("maximumPercent", known.wanted.maximum),
        given.get("healthCheckGracePeriodSeconds", known.wanted.grace),
        known.wanted.forced + bool(given.get("forceNewDeployment")),
        _circuit_breaker(limits, known),
    )
    return replace(known, wanted=wanted, properties={**known.properties, **_properties(call, task)})


def deploy(ecs: Ecs, service: Service) -> None:
    """Start the deployment of a service, after the one in progress was stopped. Raises `AwsError`."""
    deadline = time.monotonic() + _START_TIMEOUT
    has_failed = False
    while True:
        try:
            doing = ecs.services.apply(service)
        except ConfigError as error:
            raise AwsError("InvalidParameterException", error.message) from error
        except StageFailed:
            # The first one is of an earlier call that wanted the same. The events of the service tell the other.
            if has_failed:
                return
            has_failed = True
            continue
        known = ecs.store.service(service.owner, service.arn)
        if doing is None or (known and known.run is not None):
            return
        if time.monotonic() > deadline:
            raise AwsError("ServerException", f"{service.name}: {doing}", 500)
        time.sleep(_POLL_INTERVAL)


def _task(ecs: Ecs, call: Call, known: Service) -> TaskDefinition:
    key = call.parameters.get("taskDefinition")
    found = ecs.store.task_definition(call.owner, key, call.region) if key else ecs.definition(known)
    if found is None or (key and not found.active):
        raise AwsError("ClientException", "Unable to describe task definition.")
    if known.group and known.group.port not in found.ports:
        raise _refused(f"The container {found.container} did not have a container port {known.group.port} defined.")
    return found


def _circuit_breaker(limits: dict[str, Any], known: Service) -> int | str | None:
    given = limits.get("deploymentCircuitBreaker")
    if given is None:
        return known.wanted.circuit_breaker
    if given.get("resetOnHealthyTask"):
        raise _refused("deploymentCircuitBreaker.resetOnHealthyTask: a healthy task does not reset the count here.")
    counted = given.get("thresholdConfiguration", {})
    try:
        return threshold(enable=True, kind=counted.get("type"), value=counted.get("value"))
    except ConfigError as error:
        raise _refused(f"deploymentCircuitBreaker.{error.message}") from error


def _properties(call: Call, task: TaskDefinition) -> dict[str, Any]:
    """Return the properties of a template that a call has changed, for the detection of drift."""
    given = call.parameters
    found: dict[str, Any] = {}
    if "desiredCount" in given:
        found["DesiredCount"] = given["desiredCount"]
    if "taskDefinition" in given:
        found["TaskDefinition"] = task.arn
    if "healthCheckGracePeriodSeconds" in given:
        found["HealthCheckGracePeriodSeconds"] = given["healthCheckGracePeriodSeconds"]
    return found


def _refused(message: str) -> AwsError:
    return AwsError("InvalidParameterException", message)

"""Health checks of target groups, from AWS's parameters to the model and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from math import ceil
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.balancer.model import ApplicationTargetGroup, HealthCheck, TargetGroup
from pipeline.balancer.model.protocol import GENEVE
from pipeline.balancer.resources import TargetGroupResource

Given = Mapping[str, Any]
_TICK = timedelta(milliseconds=1)
_LAYER_7 = ("HTTP", "HTTPS")
# AWS's seconds from one check to the next, and for a response: of functions, and of other targets by protocol.
_LAMBDA = (35, 30)
_INTERVAL = 30
_TIMEOUTS = {"HTTP": 5, "HTTPS": 5}
_NETWORK_TIMEOUTS = {"HTTP": 6, "HTTPS": 10, "TCP": 10}
# Of appliances, whose checks connect to another port than the packets go to.
_GATEWAY, _GATEWAY_PORT = (10, 5), "80"
_HEALTHY, _UNHEALTHY = 5, 2


def parse_health_check(given: Given, kind: str, protocol: str, known: Given | None = None) -> dict[str, Any]:
    """Return the fields of a model's health check.

    `kind` is the target type, and `protocol` that of the group. `known` are the parameters that a modification keeps.
    """
    is_network = protocol not in _LAYER_7
    checks = given.get("HealthCheckProtocol") or (known or {}).get("HealthCheckProtocol")
    checks = checks or ("TCP" if is_network and kind != "alb" else "HTTP")
    if checks not in ("HTTP", "HTTPS", "TCP") or (checks == "TCP" and not is_network):
        supported = "HTTP, HTTPS, TCP" if is_network else "HTTP, HTTPS"
        raise AwsError("ValidationError", f"Health check protocol '{checks}' must be one of '{supported}'")
    defaults = _defaults(given, _times(kind, protocol, checks), is_network=is_network)
    values = {**defaults, **(known or {}), **given}
    interval, timeout = values["HealthCheckIntervalSeconds"], values["HealthCheckTimeoutSeconds"]
    if timeout > interval or (timeout == interval and not is_network):
        rule = "smaller than or equal to" if is_network else "smaller than"
        raise AwsError("ValidationError", f"Health check timeout '{timeout}' must be {rule} the interval '{interval}'")
    found: dict[str, Any] = {
        "protocol": checks,
        "interval": timedelta(seconds=interval),
        # The model's is less than the interval. It is shown rounded up.
        "timeout": timedelta(seconds=timeout) - (_TICK if timeout == interval else timedelta(0)),
        "healthy_threshold": values["HealthyThresholdCount"],
        "unhealthy_threshold": values["UnhealthyThresholdCount"],
        "port": _port(values.get("HealthCheckPort", _GATEWAY_PORT if protocol == GENEVE else "traffic-port")),
    }
    if checks != "TCP":
        found["path"] = values.get("HealthCheckPath")
        found["matcher"] = _matcher(values.get("Matcher", {}))
    return {name: value for name, value in found.items() if value is not None}


def _times(kind: str, protocol: str, checks: str) -> tuple[int, int]:
    """Return AWS's interval and timeout."""
    if kind == "lambda":
        return _LAMBDA
    if protocol == GENEVE:
        return _GATEWAY
    return _INTERVAL, (_TIMEOUTS if protocol in _LAYER_7 else _NETWORK_TIMEOUTS)[checks]


def _defaults(given: Given, times: tuple[int, int], *, is_network: bool) -> dict[str, int]:
    interval, timeout = times
    # Only one of both is given: the other one follows it, as far as it must.
    if "HealthCheckIntervalSeconds" in given:
        timeout = min(timeout, given["HealthCheckIntervalSeconds"] - (not is_network))
    else:
        interval = max(interval, given.get("HealthCheckTimeoutSeconds", 0) + (not is_network))
    return {
        "HealthCheckIntervalSeconds": interval,
        "HealthCheckTimeoutSeconds": timeout,
        "HealthyThresholdCount": _HEALTHY,
        "UnhealthyThresholdCount": _UNHEALTHY,
    }


def _port(text: str) -> int | str:
    if text == "traffic-port":
        return text
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise AwsError("ValidationError", f"Health check port '{text}' must be in the range 1-65535 or 'traffic-port'")
    return int(text)


def _matcher(given: Mapping[str, str]) -> str | None:
    return given.get("HttpCode") or given.get("GrpcCode")


def shown_health_check(group: TargetGroupResource) -> dict[str, Any]:
    """Return a group's health check in AWS's shape, as members of the group."""
    settings, check = group.settings, group.settings.health_check
    is_enabled = bool(group.kept.get("health_check_enabled", not settings.is_lambda))
    shown: dict[str, Any] = {
        "HealthCheckEnabled": is_enabled,
        "HealthCheckIntervalSeconds": ceil(check.interval.total_seconds()),
        "HealthCheckTimeoutSeconds": ceil(check.timeout.total_seconds()),
        "HealthyThresholdCount": check.healthy_threshold,
        "UnhealthyThresholdCount": check.unhealthy_threshold,
    }
    if not settings.is_lambda:
        shown |= {"HealthCheckProtocol": check.protocol, "HealthCheckPort": str(check.port)}
    if check.protocol != "TCP":
        shown |= {"HealthCheckPath": settings.check_path, "Matcher": _shown_matcher(settings)}
    return shown


def _shown_matcher(settings: TargetGroup) -> dict[str, str]:
    is_grpc = isinstance(settings, ApplicationTargetGroup) and settings.is_grpc
    return {"GrpcCode" if is_grpc else "HttpCode": settings.check_matcher}


def parameters_of(check: HealthCheck) -> dict[str, Any]:
    """Return the parameters that a modification keeps unless it changes them."""
    found: dict[str, Any] = {
        "HealthCheckProtocol": check.protocol,
        "HealthCheckIntervalSeconds": ceil(check.interval.total_seconds()),
        "HealthCheckTimeoutSeconds": ceil(check.timeout.total_seconds()),
        "HealthyThresholdCount": check.healthy_threshold,
        "UnhealthyThresholdCount": check.unhealthy_threshold,
        "HealthCheckPort": str(check.port),
    }
    if check.path is not None:
        found["HealthCheckPath"] = check.path
    if check.matcher is not None:
        found["Matcher"] = {"HttpCode": check.matcher}
    return found

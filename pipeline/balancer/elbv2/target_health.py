"""DescribeTargetHealth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.aws.service import Call
from pipeline.balancer.elbv2.api import Api
from pipeline.balancer.elbv2.drains import is_over
from pipeline.balancer.elbv2.target_groups import target_type
from pipeline.balancer.elbv2.target_ids import fits, shown_target
from pipeline.balancer.model import ApplicationTargetGroup, TargetHealth, TargetState
from pipeline.balancer.resources import DECLARED, TargetGroupResource
from pipeline.base.clock import SYSTEM

_NOT_REGISTERED = {
    "State": "unused",
    "Reason": "Target.NotRegistered",
    "Description": "Target is not registered to the target group",
}
_STOPPED = {"State": "unused", "Reason": "Target.InvalidState", "Description": "Target is in the stopped state"}
_UNAVAILABLE = {
    "State": "unavailable",
    "Reason": "Target.HealthCheckDisabled",
    "Description": "Health checks are disabled",
}
# What ELB reports of a network or gateway load balancer's target that fails its checks, for every reason.
_FAILED = ("Target.ResponseCodeMismatch", "Target.Timeout")


def describe_target_health(api: Api, call: Call) -> Mapping[str, Any]:
    """DescribeTargetHealth. A target that is named and not registered is `unused`.

    `Include` adds nothing: the data plane does not report which targets it has found to be anomalous.
    """
    view = api.view(call)
    group = view.target_group(call.parameters["TargetGroupArn"])
    known = [(shown_target(view, group, one.target), one) for one in _healths(api, group)]
    shown = [_shown(group, target, _state(api, group, target, one)) for target, one in known]
    wanted = call.parameters.get("Targets")
    if not wanted:
        return {"TargetHealthDescriptions": shown}
    found: list[dict[str, Any]] = []
    for asked in wanted:
        found += [one for one in shown if fits(one["Target"], asked)] or [_missing(group, asked)]
    return {"TargetHealthDescriptions": found}


def _healths(api: Api, group: TargetGroupResource) -> Iterator[TargetHealth]:
    """Yield the health of the targets. One whose delay is over is gone, also if the daemon has not removed it yet."""
    now = SYSTEM.now()
    for one in api.balancer.reconciled_health(group.owner, group.name):
        is_gone = group.made_by != DECLARED and one.state is TargetState.DRAINING and is_over(group, one.since, now)
        if not is_gone:
            yield one


def _shown(group: TargetGroupResource, target: dict[str, Any], state: dict[str, str]) -> dict[str, Any]:
    port = {} if group.settings.is_lambda else {"HealthCheckPort": _check_port(group, target)}
    return {"Target": target, **port, "TargetHealth": state}


def _state(api: Api, group: TargetGroupResource, target: dict[str, Any], health: TargetHealth) -> dict[str, str]:
    is_serving = health.state in (TargetState.HEALTHY, TargetState.UNHEALTHY, TargetState.INITIAL)
    if group.settings.is_lambda and is_serving and not group.kept.get("health_check_enabled"):
        return _UNAVAILABLE
    shown = {"State": str(health.state)}
    if health.state is TargetState.HEALTHY:
        return shown
    if health.state is TargetState.UNHEALTHY and _is_stopped(api, group, target):
        return _STOPPED
    reason, description = health.reason, health.description
    if not isinstance(group.settings, ApplicationTargetGroup) and reason in _FAILED:
        reason, description = "Target.FailedHealthChecks", "Health checks failed"
    return {**shown, "Reason": reason, "Description": description}


def _is_stopped(api: Api, group: TargetGroupResource, target: dict[str, Any]) -> bool:
    """Return whether a target is an instance that does not run."""
    is_instance = target_type(group) == "instance" and group.made_by != DECLARED
    return is_instance and api.network.instance(group.owner, target["Id"], target["Port"]) is None


def _missing(group: TargetGroupResource, asked: Mapping[str, Any]) -> dict[str, Any]:
    port = {} if group.settings.is_lambda else {"Port": asked.get("Port", group.settings.port)}
    return _shown(group, {"Id": asked["Id"], **port}, _NOT_REGISTERED)


def _check_port(group: TargetGroupResource, target: Mapping[str, Any]) -> str:
    port = group.settings.health_check.port
    return str(target["Port"] if port == "traffic-port" else port)

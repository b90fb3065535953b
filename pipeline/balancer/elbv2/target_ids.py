"""Targets in AWS's terms, an id and a port, and the ids that the balancer gives them."""

from __future__ import annotations

from typing import Any

from pipeline.balancer.elbv2.target_groups import target_type
from pipeline.balancer.elbv2.view import View
from pipeline.balancer.model import Target
from pipeline.balancer.resources import DECLARED, TargetGroupResource

_FUNCTION = "arn:aws:lambda:{region}:{account}:function:{name}"


def made_id(id_: str, port: int | None) -> str:
    """Return the balancer's id of a target, unique in its group. It is used in logs and metrics."""
    name = id_.replace(":", "_").replace("%", "_")
    return name if port is None else f"{name}-{port}"


def shown_target(view: View, group: TargetGroupResource, target: Target) -> dict[str, Any]:
    """Return a target in AWS's shape."""
    if group.settings.is_lambda:
        return {"Id": _FUNCTION.format(region=view.region, account=view.account, name=target.id)}
    if group.settings.is_alb:
        balancer = next(one for one in view.load_balancers if one.name == target.id)
        return {"Id": view.arn(balancer), "Port": target.port}
    zone = {"AvailabilityZone": target.zone} if target.zone else {}
    if target_type(group) == "ip":
        return {"Id": target.address, "Port": target.port, **zone}
    if group.made_by == DECLARED:
        return {"Id": target.id, "Port": target.port, **zone}
    name, _, port = target.id.rpartition("-")
    return {"Id": name, "Port": int(port), **zone}


def fits(shown: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Return whether a target is the one that a call names. Without a port, any of its ports is."""
    return shown["Id"] == wanted["Id"] and wanted.get("Port", shown.get("Port")) == shown.get("Port")

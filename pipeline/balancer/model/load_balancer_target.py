"""Rules for target groups of `target_type: alb`, whose target is an application load balancer of the same owner.

They take raw data, as it is written in `pipeline.yaml`, so that one invalid section hides no mistake of another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.balancer.model.protocol import GENEVE
from pipeline.base.suggestion import did_you_mean


class TargetMistake(NamedTuple):
    """The key of a target group that does not fit its load balancer, the reason, and what to write instead."""

    key: str
    reason: str
    hint: str


def target_mistake(group: Mapping[str, Any], load_balancers: Mapping[str, Any]) -> TargetMistake | None:
    """Return why the load balancer that a group names cannot be its target, or None if it can."""
    name = group.get("load_balancer")
    if group.get("target_type") != "alb" or group.get("protocol") == GENEVE:
        return None
    if name is None and group.get("protocol", "HTTP") not in ("HTTP", "HTTPS"):
        return TargetMistake(
            "load_balancer", "is missing; with target_type: alb, name an application load balancer", ""
        )
    if not isinstance(name, str):
        return None
    balancer = load_balancers.get(name)
    if balancer is None:
        return TargetMistake(
            "load_balancer", f"there is no load balancer {name}", did_you_mean(name, sorted(load_balancers))
        )
    if not isinstance(balancer, Mapping):
        return None
    if balancer.get("type", "application") != "application":
        reason = f"load balancer {name} is not an application load balancer, so it cannot be a target"
        return TargetMistake("load_balancer", reason, "name one of type: application")
    found = balancer.get("listeners")
    listeners = [one for one in found if isinstance(one, Mapping)] if isinstance(found, Sequence) else []
    return _listener_mistake(group, name, listeners)


def _listener_mistake(
    group: Mapping[str, Any], name: str, listeners: Sequence[Mapping[str, Any]]
) -> TargetMistake | None:
    port = group.get("port")
    on_port = [listener for listener in listeners if listener.get("port") == port]
    if not on_port:
        ports = ", ".join(sorted({str(listener.get("port")) for listener in listeners}))
        return TargetMistake("port", f"load balancer {name} has no listener on port {port}", f"its ports: {ports}")
    listener = next((one for one in on_port if one.get("default_action") is not None), None)
    if listener is None:
        reason = f"the listener of {name} on port {port} has no default_action, so it belongs to another pipeline"
        return TargetMistake("port", reason, "add a default_action to the listener")
    wanted = listener.get("protocol") or "HTTP"
    check = group.get("health_check")
    protocol = check.get("protocol", "HTTP") if isinstance(check, Mapping) else "HTTP"
    if protocol in ("HTTP", "HTTPS") and protocol != wanted:
        reason = f"a check by {protocol} cannot pass, because the listener of {name} on port {port} has {wanted}"
        key = "health_check" if isinstance(check, Mapping) else "port"
        return TargetMistake(key, reason, f"set health_check.protocol: {wanted}")
    return None


def entry_mistake(listener: object, target_type: object, name: str) -> tuple[str, str] | None:
    """Return why a listener cannot forward to the target group `name`, and what to write instead, or None if it can.

    `listener` is its protocol.
    """
    if target_type != "alb" or listener != "TLS":
        return None
    reason = f"a TLS listener cannot forward to target group {name}, whose target is an application load balancer"
    return reason, "set protocol: TCP on the listener, and HTTPS on that of the application load balancer"

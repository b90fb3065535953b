"""The cookies of a classic listener as attributes of a target group."""

from __future__ import annotations

from typing import Any

from pipeline.balancer.classic.description import ClassicPolicies, ListenerDescription

_MAX_DURATION = 7 * 86400


def stickiness(policies: ClassicPolicies, one: ListenerDescription) -> tuple[dict[str, Any], list[str]]:
    """Return the attributes for a listener's cookies, and what they do not carry over. Both are empty without any."""
    port = one.listener.load_balancer_port
    for app in policies.app_cookie_stickiness_policies:
        if app.policy_name in one.policy_names:
            attributes = {"stickiness.enabled": True, "stickiness.type": "app_cookie"}
            return {**attributes, "stickiness.app_cookie.cookie_name": app.cookie_name}, []
    for own in policies.lb_cookie_stickiness_policies:
        if own.policy_name in one.policy_names:
            return _own_cookie(own.cookie_expiration_period, port)
    return {}, []


def _own_cookie(period: int | None, port: int) -> tuple[dict[str, Any], list[str]]:
    attributes: dict[str, Any] = {"stickiness.enabled": True, "stickiness.type": "lb_cookie"}
    if not period:
        return attributes, [f"listener {port}: its cookie lasts for a day, and not as long as the browser runs"]
    notes = [f"listener {port}: its cookie lasts for 7 days instead of {period} s"] if period > _MAX_DURATION else []
    return {**attributes, "stickiness.lb_cookie.duration_seconds": min(period, _MAX_DURATION)}, notes

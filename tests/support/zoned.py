"""Declarations of load balancers with zones, and a registry of them."""

from __future__ import annotations

from typing import Any

from pipeline.balancer.model import Declaration
from pipeline.balancer.registry import Registry

ZONES: dict[str, Any] = {
    "zone-a": {"address": "127.0.1.1", "network": "10.1.0.0/16"},
    "zone-b": {"address": "127.0.2.1", "network": "10.2.0.0/16"},
}


def application(port: int = 8000, **more: Any) -> dict[str, Any]:
    """Return an application load balancer that answers by itself."""
    action = {"fixed_response": {"status_code": 204}}
    return {"listeners": [{"port": port, "default_action": action}], **more}


def network(port: int = 5432, **more: Any) -> dict[str, Any]:
    """Return a network load balancer for the target group db."""
    return {
        "type": "network",
        "listeners": [{"protocol": "TCP", "port": port, "default_action": {"forward": "db"}}],
        **more,
    }


def declared(**owners: dict[str, Any]) -> Registry:
    """Return a registry with the load balancers of each owner."""
    registry = Registry()
    for owner, balancers in owners.items():
        groups = {"db": {"protocol": "TCP", "port": 5432}}
        data = {"load_balancers": balancers, "target_groups": groups}
        registry = registry.declare(owner, Declaration.model_validate(data))
    return registry

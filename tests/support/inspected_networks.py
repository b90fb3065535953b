"""The declaration of a gateway load balancer with endpoints of two networks."""

from __future__ import annotations

from typing import Any

from pipeline.balancer.model import Declaration

_NETWORKS = {"clients": {"namespace": "lab", "addresses": ["198.18.0.0/24"]}, "apps": {"docker_network": "apps"}}


def declaration(zones: list[str] | None = None, attributes: dict[str, Any] | None = None) -> Declaration:
    """Return a declaration with one endpoint that is open and one that waits for acceptance."""
    gateway: dict[str, Any] = {"type": "gateway", "listeners": [{"default_action": {"forward": "firewalls"}}]}
    if zones:
        gateway["zones"] = zones
    office: dict[str, Any] = {"service": "inspection", "networks": _NETWORKS}
    return Declaration.model_validate(
        {
            "target_groups": {"firewalls": {"protocol": "GENEVE", "attributes": attributes or {}}},
            "load_balancers": {"inspection": gateway},
            "endpoint_services": {
                "inspection": {"load_balancers": ["inspection"], "acceptance_required": False},
                "closed": {"load_balancers": ["inspection"], "acceptance_required": True},
            },
            "endpoints": {
                "office": {**office, **({"zone": zones[0]} if zones else {})},
                "waiting": {**office, "service": "closed", "networks": {"a": {"docker_network": "a"}}},
            },
        }
    )

"""Declarations of two pipelines: one offers an endpoint service, the other has an endpoint."""

from __future__ import annotations

from typing import Any

from pipeline.balancer.model import Declaration

_GATEWAY = {"type": "gateway", "listeners": [{"default_action": {"forward": "firewalls"}}]}
_NETWORKS = {
    "clients": {"namespace": "lab", "addresses": ["198.18.0.0/24"]},
    "apps": {"docker_network": "inspected"},
}


def provider(*, required: bool = False, offers: tuple[str, ...] = ("inspection",), **balancer: Any) -> Declaration:
    """Return the declaration of a pipeline with appliances and their service."""
    return Declaration.model_validate(
        {
            "target_groups": {"firewalls": {"protocol": "GENEVE"}},
            "load_balancers": {"inspection": {**_GATEWAY, **balancer}, "second": _GATEWAY},
            "endpoint_services": {"inspection": {"load_balancers": offers, "acceptance_required": required}},
        }
    )


def consumer(service: str = "firewall/inspection", port: int = 80, **endpoint: Any) -> Declaration:
    """Return the declaration of a pipeline with an endpoint."""
    return Declaration.model_validate(
        {
            "target_groups": {"web": {"port": 80}},
            "load_balancers": {"edge": {"listeners": [{"port": port, "default_action": {"forward": "web"}}]}},
            "endpoints": {"office": {"service": service, "networks": _NETWORKS, **endpoint}},
        }
    )

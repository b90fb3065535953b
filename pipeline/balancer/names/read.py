"""The names of a balancer's load balancers now."""

from __future__ import annotations

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.names.directory import Directory


def read_names(balancer: Balancer) -> Directory:
    """Return the names, with the nodes' health now. Changes nothing. Raises `BalancerFault`."""
    registry, health = balancer.registry(), balancer.nodes()

    def in_service(owner: str, name: str, zone: str) -> bool:
        # The load balancer may have been declared between the two reads.
        node = health.get((owner, name), {}).get(zone)
        return node is not None and node.healthy

    return Directory.from_registry(registry, in_service)

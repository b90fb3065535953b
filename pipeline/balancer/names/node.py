"""The nodes of a load balancer, and the choice among them for one client. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from pipeline.balancer.model.network.attributes import RoutingPolicy

Address = IPv4Address | IPv6Address
ANY_ZONE: RoutingPolicy = "any_availability_zone"
# The share of its queries for which a client gets only the node of its own zone.
_AFFINITY: dict[RoutingPolicy, float] = {
    ANY_ZONE: 0.0,
    "availability_zone_affinity": 1.0,
    "partial_availability_zone_affinity": 0.85,
}


@dataclass(frozen=True)
class Node:
    """A load balancer in one zone, or the whole load balancer if it has no zones.

    `network`: the addresses of the clients in the zone. `in_service`: the zone is healthy and was not shifted away.
    """

    address: Address
    zone: str | None = None
    network: IPv4Network | IPv6Network | None = None
    in_service: bool = True


def nodes_for(nodes: Sequence[Node], policy: RoutingPolicy, client: Address, draw: float) -> tuple[Node, ...]:
    """Return the nodes that a client gets: those in service, or all if none is.

    `draw`: a random number from 0 up to 1, new for each query.
    """
    usable = tuple(node for node in nodes if node.in_service) or tuple(nodes)
    own = tuple(node for node in usable if node.network is not None and client in node.network)
    return own if own and draw < _AFFINITY[policy] else usable

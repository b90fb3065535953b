"""The sizes of the largest packets that endpoints carry, so that they fit into the links to the appliances. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network

from pipeline.balancer.gateway.gateway_state import MAX_PACKET, OVERHEAD, GatewayTarget
from pipeline.balancer.gateway.numbers import Appliance
from pipeline.balancer.gateway.wanted_gateway import CarriedEndpoint, WantedGateway

# A device that carries smaller packets than these has no IPv6, or no IPv4.
_LEAST = {4: 68, 6: 1280}


def packet_sizes(wanted: WantedGateway, reached: Mapping[Appliance, GatewayTarget]) -> dict[str, int]:
    """Return the bytes of the largest inner packet by the id of the endpoint. One without appliances has none.

    It fits into all links to the appliances of the group, whichever of them a flow chooses.
    """
    links = dict[str, int]()
    for appliance, target in reached.items():
        links[appliance.group] = min(links.get(appliance.group, target.mtu), target.mtu)
    return {
        id_: max(min(MAX_PACKET, links[group] - OVERHEAD), _least(endpoint))
        for id_, endpoint in wanted.endpoints.items()
        if (group := wanted.pools[endpoint.pool].group) in links
    }


def _least(endpoint: CarriedEndpoint) -> int:
    versions = {ip_network(prefix, strict=False).version for each in endpoint.networks for prefix in each.prefixes}
    return max((_LEAST[version] for version in versions), default=_LEAST[4])

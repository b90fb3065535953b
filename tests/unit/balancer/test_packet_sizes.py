"""The sizes of the largest packets that endpoints carry."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from pipeline.balancer.gateway.gateway_state import GatewayTarget
from pipeline.balancer.gateway.numbers import Appliance
from pipeline.balancer.gateway.packet_sizes import packet_sizes
from pipeline.balancer.gateway.wanted_gateway import (
    ApplianceGroup,
    AppliancePool,
    CarriedEndpoint,
    CarriedNetwork,
    WantedGateway,
)


@pytest.mark.parametrize(
    ("mtus", "prefixes", "size"),
    [
        ([9001], ["198.18.0.0/24"], 8500),
        ([8568], ["198.18.0.0/24"], 8500),
        ([8567], ["198.18.0.0/24"], 8499),
        ([9001, 1500, 9001], ["198.18.0.0/24", "fd98::/64"], 1432),
        ([1300], ["198.18.0.0/24"], 1232),
        # The least that IPv6 takes.
        ([1300], ["198.18.0.0/24", "fd98::/64"], 1280),
    ],
)
def test_packets_fit_into_all_links(mtus: list[int], prefixes: list[str], size: int) -> None:
    """With its header, a packet fits into the link to any appliance of the group."""
    assert packet_sizes(wanted(*prefixes), reached("one", *mtus)) == {"vpce-1": size}


def test_endpoint_without_appliances() -> None:
    """Its devices stay as they are. Appliances of other groups do not count."""
    assert packet_sizes(wanted("198.18.0.0/24"), reached("another", 1500)) == {}


def wanted(*prefixes: str) -> WantedGateway:
    """Return an endpoint with these addresses, whose flows go to the group `one`."""
    networks = tuple(CarriedNetwork(f"n{at}", at, at, (each,)) for at, each in enumerate(prefixes, 1))
    return WantedGateway(
        {"vpce-1": CarriedEndpoint(1, "pool", networks)},
        {"pool": AppliancePool("security", "inspection", "one", 5, 350, rebalances=False)},
        {"one": ApplianceGroup(("pool",))},
    )


def reached(group: str, *mtus: int) -> dict[Appliance, GatewayTarget]:
    """Return appliances behind links of these sizes."""
    found = {Appliance(group, f"fw-{at}", f"10.0.0.{at}:6081"): mtu for at, mtu in enumerate(mtus, 2)}
    return {
        each: GatewayTarget(IPv4Address(each.endpoint.partition(":")[0]), IPv4Address("10.0.0.1"), 1, mtu=mtu)
        for each, mtu in found.items()
    }

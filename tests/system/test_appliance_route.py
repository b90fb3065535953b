"""The way to an appliance, as the routes of a network namespace say."""

from __future__ import annotations

import re
import socket
from contextlib import closing
from ipaddress import IPv4Address

import pytest

from pipeline.balancer.gateway.appliance_route import Unreachable, find_route
from pipeline.balancer.gateway.gateway_state import GatewayTarget
from tests.support.namespace import Namespace, obstacle

pytestmark = pytest.mark.skipif(bool(obstacle()), reason=obstacle())

UNREACHABLE = {
    "10.71.3.1": "10.71.3.1 is an address of this machine itself",
    "10.71.7.1": "this machine has no route to 10.71.7.1",
    "10.71.9.2": "the route to 10.71.9.2 leads to a network device that is not one of Ethernet",
    "10.71.10.2": "the route to 10.71.10.2 leads into an endpoint, by device gwlbe-012345678",
    "192.0.2.1": "this machine has no route to 192.0.2.1",
}


def test_ways_to_appliances() -> None:
    """On a link, behind a router, from a chosen address; and what is no way."""
    with closing(Namespace()) as machine:
        machine.ip(
            "link add one type bridge",
            "link set one mtu 1400 up",
            "addr add 10.71.3.1/24 dev one",
            "addr add 10.71.4.1/32 dev one",
            "route add 10.71.5.0/24 via 10.71.3.9",
            "route add 10.71.6.0/24 dev one src 10.71.4.1",
            "route add blackhole 10.71.7.0/24",
            "tuntap add dev tunnel mode tun",
            "link set tunnel up",
            "addr add 10.71.9.1/24 dev tunnel",
            "link add gwlbe-012345678 type veth peer name gwlbo-012345678",
            "link set gwlbe-012345678 up",
            "addr add 10.71.10.1/24 dev gwlbe-012345678",
        )
        with machine.entered():
            one = socket.if_nametoindex("one")
            found = {last: find_route(IPv4Address(f"10.71.{last}")) for last in ("3.11", "5.11", "6.11")}
            for address, reason in UNREACHABLE.items():
                with pytest.raises(Unreachable, match=f"^{re.escape(reason)}$"):
                    find_route(IPv4Address(address))
        own, router = IPv4Address("10.71.3.1"), IPv4Address("10.71.3.9")
        assert found == {
            "3.11": GatewayTarget(IPv4Address("10.71.3.11"), own, one, mtu=1400),
            "5.11": GatewayTarget(IPv4Address("10.71.5.11"), own, one, router, mtu=1400),
            "6.11": GatewayTarget(IPv4Address("10.71.6.11"), IPv4Address("10.71.4.1"), one, mtu=1400),
        }

"""Packets of a gateway load balancer whose appliances are behind a link of small packets, as a bridge of Docker is."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.support.gateway_lab import BRIDGE, CLIENTS, SERVERS, GatewayLab
from tests.support.namespace import Namespace, obstacle
from tests.support.waiting import DEADLINE, until
from tests.system.gateway_balancer import GatewayBalancer, gateway_balancer

pytestmark = pytest.mark.skipif(bool(obstacle()), reason=obstacle())

SIZE = 1 << 20
PORT = 7100
ROUTED = {4: "198.18.0.130", 6: "fd98::8:2"}


@pytest.fixture
def lab() -> Iterator[GatewayLab]:
    """The networks with one appliance, whose link has packets of 1,500 bytes."""
    with closing(GatewayLab(appliances=1)) as opened:
        set_link(opened, 1500)
        yield opened


@pytest.fixture
def balancer(lab: GatewayLab, tmp_path: Path) -> Iterator[GatewayBalancer]:
    """The load balancer with its appliance."""
    with gateway_balancer(lab, tmp_path / "balancer") as balancer:
        yield balancer


@pytest.fixture
def routed(lab: GatewayLab) -> Iterator[Namespace]:
    """A machine behind that of the clients, on a link of larger packets."""
    with closing(Namespace()) as place:
        place.set(ipv6__conf__default__accept_dad="0")
        lab.clients.ip(f"link add lan mtu 9000 type veth peer name eth0 mtu 9000 netns {place.pid}", "link set lan up")
        lab.clients.ip(
            "address add 198.18.0.129/25 dev lan",
            "address add fd98::8:1/112 dev lan",
        )
        place.ip(
            "link set eth0 up",
            f"address add {ROUTED[4]}/25 dev eth0",
            f"address add {ROUTED[6]}/112 dev eth0",
            "route add default via 198.18.0.129",
            "route add ::/0 via fd98::8:1",
        )
        lab.clients.set(ipv4__ip_forward="1", ipv6__conf__all__forwarding="1")
        yield place


def set_link(lab: GatewayLab, mtu: int) -> None:
    """Set the size of the largest packet between the machine and its appliance."""
    names = [each["ifname"] for each in json.loads(lab.machine.run("ip", "-j", "link")) if "cable" in each["ifname"]]
    lab.appliances[0].namespace.ip(f"link set eth0 mtu {mtu}")
    lab.machine.ip(*(f"link set {name} mtu {mtu}" for name in names), f"link set {BRIDGE} mtu {mtu}")


def device_sizes(lab: GatewayLab) -> set[int]:
    """Return the sizes of all devices of the endpoint."""
    places = (lab.machine, lab.clients, lab.servers)
    found = [each for place in places for each in json.loads(place.run("ip", "-j", "link"))]
    return {each["mtu"] for each in found if each["ifname"].startswith("gwlb")}


def transferred(place: Namespace, source: str, lab: GatewayLab, target: str, size: int = SIZE) -> int:
    """Send so many bytes from a place to a server and back. Return how many came back."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with lab.servers.entered():
        listening = socket.create_server((target, PORT), family=family)
    with listening, ThreadPoolExecutor(1) as pool:
        listening.settimeout(DEADLINE)
        pool.submit(_echo, listening, size)
        with place.entered():
            connection = socket.socket(family)
        with connection:
            connection.settimeout(DEADLINE)
            connection.bind((source, 0))
            connection.connect((target, PORT))
            connection.sendall(bytes(size))
            return _received(connection, size)


def _echo(listening: socket.socket, size: int) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.settimeout(DEADLINE)
        connection.sendall(bytes(_received(connection, size)))


def _received(connection: socket.socket, size: int) -> int:
    received = 0
    while received < size and (data := connection.recv(1 << 16)):
        received += len(data)
    return received


@pytest.mark.usefixtures("balancer")
@pytest.mark.parametrize("version", [4, 6])
def test_bulk_over_a_link_of_small_packets(version: int, lab: GatewayLab) -> None:
    """What an endpoint's own senders send fits into the link with its GENEVE header."""
    source, target = (next(each for each in some if (":" in each) == (version == 6)) for some in (CLIENTS, SERVERS))
    assert device_sizes(lab) == {1432}
    assert transferred(lab.clients, source, lab, target) == SIZE


@pytest.mark.usefixtures("balancer")
@pytest.mark.parametrize("version", [4, 6])
def test_forwarded_bulk(version: int, lab: GatewayLab, routed: Namespace) -> None:
    """A sender on another link is told by ICMP that its packets are too large."""
    target = next(each for each in SERVERS if (":" in each) == (version == 6))
    assert transferred(routed, ROUTED[version], lab, target) == SIZE
    until(lambda: _learned(routed, target) == 1432, "the kernel has learned the size of the path")


def _learned(place: Namespace, target: str) -> int:
    """Send a large datagram that may not be cut. Return the size of the path as the kernel knows it."""
    family, level, size, discover = (
        (socket.AF_INET6, socket.IPPROTO_IPV6, 24, 23) if ":" in target else (socket.AF_INET, socket.IPPROTO_IP, 14, 10)
    )
    with place.entered():
        probe = socket.socket(family, socket.SOCK_DGRAM)
    with probe:
        # Never cut.
        probe.setsockopt(level, discover, 2)
        probe.connect((target, PORT))
        with suppress(OSError):
            probe.send(bytes(4000))
        return probe.getsockopt(level, size)


def test_link_that_changes(lab: GatewayLab, balancer: GatewayBalancer) -> None:
    """The endpoint's devices follow the link to its appliances, and open connections go on."""
    with closing(lab.client.open(SERVERS[0], CLIENTS[0], timeout=DEADLINE)) as held:
        set_link(lab, 1300)

        def have_followed() -> bool:
            balancer.health()
            return device_sizes(lab) == {1280}

        # Its own look at the links comes also while others ask the agent all the time.
        until(have_followed, "smaller devices, but not too small for IPv6")
        assert held.ask()

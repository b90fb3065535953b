"""The path of packets to an appliance in a container, beside the rules that Docker makes for its bridge."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from secrets import token_hex

import pytest

from pipeline.balancer.gateway.gateway_state import (
    GatewayAttachment,
    GatewayEndpoint,
    GatewayPool,
    GatewayState,
    GatewayTarget,
)
from pipeline.balancer.gateway.path.gateway_path import GatewayPath
from tests.docker.docker_cli import docker
from tests.support.namespace import Namespace, obstacle
from tests.support.waiting import COMMAND_TIMEOUT, DEADLINE, until

pytestmark = pytest.mark.docker
_CLIENT, _SERVER, _PORT = "198.18.77.1", "198.18.78.1", 7000
# Returns what it gets, and prints who sent it.
_APPLIANCE = """
import socket
opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
opened.bind(("0.0.0.0", 6081))
print("ready", flush=True)
while True:
    payload, sender = opened.recvfrom(65536)
    opened.sendto(payload, (sender[0], 6081))
    print(sender[0], len(payload), flush=True)
"""


class _Machine:
    """Two networks on cables of this machine, and a container at a bridge of Docker. All have names of their own."""

    def __init__(self, image: str) -> None:
        self.name = f"gw{token_hex(4)}"
        self.client, self.server = Namespace(), Namespace()
        for number, (place, address) in enumerate(((self.client, _CLIENT), (self.server, _SERVER))):
            self._attach(place, f"{self.name}{number}", address)
        docker("network", "create", "--opt", "com.docker.network.driver.mtu=8568", self.name)
        self.container = docker(
            "run", "--detach", "--network", self.name, "--name", self.name, image, "python3", "-uc", _APPLIANCE
        ).strip()
        until(lambda: "ready" in docker("logs", self.container), "the appliance")
        self.path = GatewayPath(token_hex(6))

    def state(self) -> GatewayState:
        """Return a state in which the container is the only appliance."""
        inspect = ("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.Gateway}}{{end}}")
        address, source = map(IPv4Address, docker(*inspect, self.container).split())
        bridge = "br-" + docker("network", "inspect", "--format", "{{.Id}}", self.name)[:12]
        attachments = tuple(
            GatewayAttachment(number + 1, socket.if_nametoindex(f"{self.name}{number}"), (IPv4Network(prefix),))
            for number, prefix in enumerate((f"{_CLIENT}/32", f"{_SERVER}/32"))
        )
        return GatewayState(
            {1: GatewayTarget(address, source, socket.if_nametoindex(bridge))},
            {1: GatewayPool(5, 350, (1,))},
            {1: GatewayEndpoint(int(token_hex(7), 16), 1, attachments)},
        )

    def close(self) -> None:
        """Remove everything."""
        self.path.remove()
        self.path.close()
        for place in (self.client, self.server):
            place.close()
        docker("rm", "--force", self.container)
        docker("network", "rm", self.name)

    def _attach(self, place: Namespace, name: str, address: str) -> None:
        mac = "02:" + ":".join(f"{each:02x}" for each in os.urandom(5))
        ends = f"{name} address {mac} mtu 8500 type veth peer name net0 address {mac} mtu 8500 netns {place.pid}"
        for line in (f"link add {ends}", f"link set {name} addrgenmode none arp off up"):
            subprocess.run(["ip", *line.split()], check=True, timeout=COMMAND_TIMEOUT)
        place.ip("link set net0 arp off up", f"addr add {address}/32 dev net0", "route add default dev net0")


@pytest.fixture
def machine(base_image: str) -> Iterator[_Machine]:
    """The networks and the appliance."""
    if reason := obstacle():
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    made = _Machine(base_image)
    try:
        yield made
    finally:
        made.close()


def test_container_is_an_appliance(machine: _Machine) -> None:
    """Docker's rules for forwarding and for hiding addresses do not apply: the path asks none of them.

    The server sees the client's address, and the container that of the bridge, which it answers.
    """
    state = machine.state()
    machine.path.write(state)
    with machine.server.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((_SERVER, _PORT))
        server.settimeout(DEADLINE)
        with machine.client.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(DEADLINE)
            client.sendto(bytes(8472), (_SERVER, _PORT))
            data, peer = server.recvfrom(65536)
            assert (len(data), peer) == (8472, (_CLIENT, client.getsockname()[1]))
            server.sendto(b"back", peer)
            assert client.recv(10) == b"back"
    report = ["ready", *(f"{state.targets[1].source} {size + 40}" for size in (8500, 32))]
    until(lambda: docker("logs", machine.container).splitlines() == report, "the appliance's report")
    assert machine.path.counts().drops == {}

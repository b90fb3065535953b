"""A network of the real engine, attached to an endpoint: its router has the gateway address of the containers."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.balancer.attachments.attachments import Attached, Attachments
from pipeline.balancer.attachments.docker_network import INHIBIT
from pipeline.balancer.wanted_endpoint import WantedEndpoint, WantedNetwork
from pipeline.base.errors import ConfigError
from tests.docker.docker_cli import docker
from tests.support.namespace import obstacle
from tests.support.waiting import COMMAND_TIMEOUT, DEADLINE, until

pytestmark = pytest.mark.docker

# An address that no machine has, which the endpoint is to carry packets to.
_FAR = "198.51.100.9"
_SEND = f"import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'hello', ('{_FAR}', 7))"


class Network:
    """A bridge network of Docker, and what attaches it."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.home = os.urandom(6).hex()
        self.name = f"penstock-test-{self.home}"
        self._options = options
        self.make()
        self.attachments = Attachments(folder, self.home)

    def make(self) -> None:
        """Make it in the engine."""
        docker("network", "create", *self._options, self.name)

    @property
    def wanted(self) -> list[WantedEndpoint]:
        """The endpoint with this network."""
        network = WantedNetwork("apps", "docker_network", self.name)
        return [WantedEndpoint("vpce-00123456789abcdef", "web", "office", None, ("web", "inspection"), (network,))]

    def run(self, program: str) -> None:
        """Run a program of Python in a container of the network."""
        image = os.environ["PENSTOCK_BASE_IMAGE"]
        docker("run", "--rm", "--network", self.name, image, "python3", "-c", program)

    def left(self) -> list[str]:
        """Return the devices and namespaces that are there."""
        links = subprocess.run(
            ["ip", "-o", "link"], capture_output=True, text=True, check=True, timeout=COMMAND_TIMEOUT
        ).stdout.splitlines()
        routers = [path.name for path in Path("/run/netns").glob("penstock-*")]
        return [line for line in links if self.home in line] + [
            name for name in routers if name.removeprefix("penstock-") in " ".join(links)
        ]

    def close(self) -> None:
        """Detach and remove it."""
        self.attachments.detach_all()
        docker("network", "rm", self.name)


@pytest.fixture(autouse=True)
def _needs_namespaces() -> None:
    if reason := obstacle():
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    with closing(Network(tmp_path, "--opt", f"{INHIBIT}=true")) as made:
        yield made


def test_containers_send_to_the_endpoint_by_their_default_route(network: Network) -> None:
    """The packet comes with the container's own address, and nothing is left afterwards."""
    (attached,) = network.attachments.attached(network.wanted)
    assert network.attachments.faults() == {}
    with closing(_receiver(attached)) as receiver:
        network.run(_SEND)
        (source,) = until(lambda: [*_sources(receiver)], "the packet of the container")
    (subnet,) = attached.network.addresses
    assert source.rpartition(".")[0] == subnet.rpartition(".")[0]
    assert network.attachments.attached(network.wanted) == (attached,)
    assert len(network.left()) == 3
    network.attachments.detach_all()
    assert network.left() == []


def test_a_network_that_is_removed_and_made_again(network: Network) -> None:
    """It is attached again as soon as it is back, with its new bridge, and stays the same attachment."""
    (before,) = network.attachments.attached(network.wanted)
    stamps = [network.attachments.stamp()]
    docker("network", "rm", network.name)
    stamps.append(network.attachments.stamp())
    assert network.attachments.attached(network.wanted) == ()
    assert [fault.message for fault in network.attachments.faults().values()] == [
        f"there is no network {network.name} of Docker"
    ]
    assert network.left() == []
    stamps.append(network.attachments.stamp())
    network.make()
    stamps.append(network.attachments.stamp())
    assert len(set(stamps)) == len(stamps)
    (after,) = network.attachments.attached(network.wanted)
    assert (after.attachment, network.attachments.faults()) == (before.attachment, {})
    with closing(_receiver(after)) as receiver:
        network.run(_SEND)
        assert until(lambda: [*_sources(receiver)], "the packet of the container")


def test_a_network_whose_bridge_has_the_gateway_address_is_refused(tmp_path: Path) -> None:
    """The hint is the command that makes it as it is needed."""
    with closing(Network(tmp_path)) as network:
        with pytest.raises(ConfigError, match="is its bridge's") as error:
            network.attachments.check(network.wanted)
        assert error.value.hint == (
            f"make the network again: docker network create --opt {INHIBIT}=true {network.name}"
        )
        assert network.attachments.attached(network.wanted) == ()
        assert network.left() == []


def _receiver(attached: Attached) -> socket.socket:
    receiver = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    receiver.bind((socket.if_indextoname(attached.ifindex), 0x0800))
    receiver.settimeout(DEADLINE)
    return receiver


def _sources(receiver: socket.socket) -> Iterator[str]:
    """Yield the sender of the next packet to the far address."""
    frame = receiver.recv(2048)
    if frame[30:34] == socket.inet_aton(_FAR):
        yield socket.inet_ntoa(frame[26:30])

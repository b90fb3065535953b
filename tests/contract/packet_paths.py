"""The paths of packets under contract: in memory, and in the kernel between network namespaces."""

from __future__ import annotations

import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from ipaddress import IPv4Address, ip_network

from pipeline.balancer.gateway.choice import slot_table
from pipeline.balancer.gateway.flow_key import FlowFields
from pipeline.balancer.gateway.gateway_state import (
    DropReason,
    GatewayAttachment,
    GatewayEndpoint,
    GatewayPool,
    GatewayState,
    GatewayTarget,
)
from pipeline.balancer.gateway.geneve import Encapsulated
from pipeline.balancer.gateway.packet_path import PacketPath
from pipeline.testing.fakes.packet_path import Dropped, FakePath
from tests.support.inner_packets import udp
from tests.support.path_lab import CLIENT, CLIENT_SIDE, ENDPOINT, MACHINE, SERVER, SERVER_SIDE, PathLab
from tests.support.waiting import until

PORT = 7000


class PathHarness(ABC):
    """A path with one endpoint between a client and a server, and appliances 1, 2 and 3."""

    path: PacketPath

    @abstractmethod
    def write(
        self,
        *numbers: int,
        listed: Collection[int] = (),
        rebalanced: Collection[int] = (),
        fields: FlowFields = 5,
    ) -> None:
        """Write a state in which new flows go to these appliances. The `listed` are targets too."""

    @abstractmethod
    def exchange(self, port: int, version: int = 4, server_port: int = PORT) -> int:
        """Send a datagram from the client's port to the server, and the reply. Return the appliance of both."""

    @abstractmethod
    def lose(self, port: int) -> DropReason:
        """Send a datagram that the path drops. Return the reason."""

    @abstractmethod
    def return_again(self, number: int) -> DropReason:
        """Let an appliance return the first packet that it got once more, which the path drops. Return the reason."""

    @abstractmethod
    def now(self) -> float:
        """Return the time of the path's clock."""

    def chosen(self, ports: Collection[int], version: int = 4) -> dict[int, int]:
        """Return the appliance of a flow from each port of the client."""
        return {port: self.exchange(port, version) for port in ports}

    def close(self) -> None:
        """Remove the path."""
        self.path.remove()


class FakeHarness(PathHarness):
    """The path in memory."""

    def __init__(self) -> None:
        self.path: FakePath = FakePath()
        self._seen: dict[int, bytes] = {}

    def write(
        self,
        *numbers: int,
        listed: Collection[int] = (),
        rebalanced: Collection[int] = (),
        fields: FlowFields = 5,
    ) -> None:
        slots = slot_table({number: str(number) for number in numbers})
        attachments = tuple(
            GatewayAttachment(id_, 1, (ip_network(f"10.61.{number}.0/24"), ip_network(f"fd61:{number}::/64")))
            for number, id_ in enumerate((CLIENT_SIDE, SERVER_SIDE), 1)
        )
        targets = {
            number: GatewayTarget(IPv4Address(f"10.61.3.1{number}"), IPv4Address("10.61.3.1"), 1)
            for number in {*numbers, *listed}
        }
        pools = {1: GatewayPool(fields, 350, slots, frozenset(rebalanced))}
        self.path.write(GatewayState(targets, pools, {1: GatewayEndpoint(ENDPOINT, 1, attachments)}))

    def exchange(self, port: int, version: int = 4, server_port: int = PORT) -> int:
        there = udp(CLIENT[version], SERVER[version], (port, server_port))
        back = udp(SERVER[version], CLIENT[version], (server_port, port))
        found = {
            self._pass(CLIENT_SIDE, SERVER_SIDE, there),
            self._pass(SERVER_SIDE, CLIENT_SIDE, back),
        }
        (appliance,) = found
        return appliance

    def lose(self, port: int) -> DropReason:
        try:
            self.exchange(port)
        except Dropped as dropped:
            return dropped.reason
        raise AssertionError("the packet passed")

    def return_again(self, number: int) -> DropReason:
        try:
            self.path.give_back(IPv4Address(f"10.61.3.1{number}"), self._seen[number])
        except Dropped as dropped:
            return dropped.reason
        raise AssertionError("the packet passed")

    def now(self) -> float:
        return self.path.now

    def _pass(self, side: int, other: int, packet: bytes) -> int:
        target, payload = self.path.send(side, packet)
        assert Encapsulated.decoded(payload).attachment == side
        assert self.path.give_back(target.address, payload) == (other, packet)
        number = int(target.address) - int(IPv4Address("10.61.3.10"))
        self._seen.setdefault(number, payload)
        return number


class KernelHarness(PathHarness):
    """The path in the kernel."""

    def __init__(self) -> None:
        self._lab = PathLab()
        self.path = self._lab.path

    def write(
        self,
        *numbers: int,
        listed: Collection[int] = (),
        rebalanced: Collection[int] = (),
        fields: FlowFields = 5,
    ) -> None:
        self._lab.write(self._lab.state(*numbers, listed=tuple(listed), rebalanced=tuple(rebalanced), fields=fields))

    def exchange(self, port: int, version: int = 4, server_port: int = PORT) -> int:
        before = [len(each.seen) for each in self._lab.appliances]
        kind = socket.SOCK_DGRAM
        with (
            self._lab.socket_at(self._lab.server, version, kind) as server,
            self._lab.socket_at(self._lab.client, version, kind) as client,
        ):
            server.bind((SERVER[version], server_port))
            client.bind((CLIENT[version], port))
            client.sendto(b"hello", (SERVER[version], server_port))
            _, peer = server.recvfrom(100)
            assert peer[:2] == (CLIENT[version], port)
            server.sendto(b"hello", peer)
            assert client.recv(100) == b"hello"
        got = {number: len(each.seen) for number, each in enumerate(self._lab.appliances, 1)}
        (appliance,) = [number for number, count in got.items() if count > before[number - 1]]
        assert got[appliance] == before[appliance - 1] + 2
        return appliance

    def lose(self, port: int) -> DropReason:
        with self._lab.socket_at(self._lab.client, 4, socket.SOCK_DGRAM) as client:
            client.bind((CLIENT[4], port))
            return self._reason(lambda: client.sendto(b"hello", (SERVER[4], PORT)))

    def return_again(self, number: int) -> DropReason:
        appliance = self._lab.appliances[number - 1]
        return self._reason(lambda: appliance.send(appliance.seen[0].wrapped.encoded(), MACHINE))

    def _reason(self, send: Callable[[], object]) -> DropReason:
        """Return why the path drops what is sent."""
        before = dict(self.path.counts().drops)
        send()

        def found() -> list[DropReason]:
            return [key[1] for key, count in self.path.counts().drops.items() if count > before.get(key, 0)]

        (reason,) = until(found, "a drop")
        return reason

    def now(self) -> float:
        return time.monotonic()

    def close(self) -> None:
        self._lab.close()

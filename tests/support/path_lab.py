"""A client, a server, appliances and the machine of a gateway load balancer, in network namespaces.

The client has 10.61.1.2 and fd61:1::2, the server 10.61.2.2 and fd61:2::2. Both are attached to one endpoint. Appliance
N, from 1, has 10.61.3.1N, at a bridge of the machine with 10.61.3.1.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from ipaddress import IPv4Address, ip_network

from pipeline.balancer.gateway.choice import slot_table
from pipeline.balancer.gateway.flow_key import FlowFields
from pipeline.balancer.gateway.gateway_state import (
    GatewayAttachment,
    GatewayEndpoint,
    GatewayPool,
    GatewayState,
    GatewayTarget,
)
from pipeline.balancer.gateway.path.gateway_path import ELB_IDLE, GatewayPath
from pipeline.balancer.gateway.path.object_file import ObjectFile
from pipeline.balancer.gateway.path.records import IdleTimes
from tests.support.namespace import Namespace
from tests.support.path_appliance import PathAppliance

HOME = "0123456789ab"
ENDPOINT, CLIENT_SIDE, SERVER_SIDE = 0x1122334455667788, 0xA1, 0xB2
CLIENT = {4: "10.61.1.2", 6: "fd61:1::2"}
SERVER = {4: "10.61.2.2", 6: "fd61:2::2"}
MACHINE = "10.61.3.1"
BRIDGE = "appliances"
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
_MTU, _LARGE = 8500, 9000


class PathLab:
    """The machines, with the path of one home. Nothing is written until `write`."""

    def __init__(self, appliances: int = 3, *, mtu: int = _MTU, idle: IdleTimes = ELB_IDLE) -> None:
        with ExitStack() as opened:
            self.machine, self.client, self.server = (opened.enter_context(closing(Namespace())) for _ in range(3))
            self.places = [opened.enter_context(closing(Namespace())) for _ in range(appliances)]
            for number, place in enumerate((self.client, self.server), 1):
                attach(self.machine, place, f"side{number}", number, mtu)
            self._join_appliances()
            self.appliances = [
                opened.enter_context(closing(PathAppliance(place, f"10.61.3.1{number}")))
                for number, place in enumerate(self.places, 1)
            ]
            self._idle = idle
            self.path = self.opened()
            opened.callback(lambda: self.path.close())
            self._opened = opened.pop_all()

    def opened(self, home: str = HOME, built: ObjectFile | None = None) -> GatewayPath:
        """Load or adopt the path of a home."""
        with self.machine.entered():
            return GatewayPath(home, idle=self._idle, built=built)

    def state(
        self,
        *numbers: int,
        listed: Sequence[int] = (),
        rebalanced: Sequence[int] = (),
        fields: FlowFields = 5,
        tcp_idle: int = 350,
    ) -> GatewayState:
        """Return a state in which new flows go to these appliances. The `listed` are targets too."""
        slots = slot_table({number: str(number) for number in numbers})
        attachments = tuple(
            GatewayAttachment(
                id_,
                self.ifindex(f"side{number}"),
                (ip_network(f"10.61.{number}.0/24"), ip_network(f"fd61:{number}::/64")),
            )
            for number, id_ in enumerate((CLIENT_SIDE, SERVER_SIDE), 1)
        )
        return GatewayState(
            {number: self.target(number) for number in {*numbers, *listed}},
            {1: GatewayPool(fields, tcp_idle, slots, frozenset(rebalanced))},
            {1: GatewayEndpoint(ENDPOINT, 1, attachments)},
        )

    def target(self, number: int) -> GatewayTarget:
        """Return an appliance as a target."""
        return GatewayTarget(IPv4Address(f"10.61.3.1{number}"), IPv4Address(MACHINE), self.ifindex(BRIDGE))

    def write(self, state: GatewayState) -> None:
        """Write a state."""
        with self.machine.entered():
            self.path.write(state)

    def ifindex(self, name: str) -> int:
        """Return the number of a device of the machine."""
        with self.machine.entered():
            return socket.if_nametoindex(name)

    @contextmanager
    def socket_at(self, place: Namespace, version: int, kind: int, protocol: int = 0) -> Iterator[socket.socket]:
        """Open a socket in a namespace."""
        with place.entered():
            opened = socket.socket(FAMILY[version], kind, protocol)
        with opened:
            opened.settimeout(10)
            yield opened

    def close(self) -> None:
        """Remove the path and all machines."""
        with self.machine.entered():
            self.path.remove()
        self._opened.close()

    def _join_appliances(self) -> None:
        self.machine.ip(
            f"link add {BRIDGE} type bridge",
            f"link set {BRIDGE} up mtu {_LARGE}",
            f"addr add {MACHINE}/24 dev {BRIDGE}",
        )
        for number, place in enumerate(self.places, 1):
            name = f"port{number}"
            self.machine.ip(
                f"link add {name} type veth peer name eth0 netns {place.pid}",
                f"link set {name} master {BRIDGE} mtu {_LARGE} up",
            )
            place.ip(f"link set eth0 mtu {_LARGE} up", f"addr add 10.61.3.1{number}/24 dev eth0")
        self.machine.ip(f"link set {BRIDGE} mtu {_LARGE}")


def attach(machine: Namespace, place: Namespace, name: str, number: int, mtu: int) -> None:
    """Join a namespace to a machine as an endpoint does: without ARP, and with one MAC address at both ends."""
    mac = f"02:61:00:00:00:{number:02x}"
    machine.ip(
        f"link add {name} address {mac} mtu {mtu} type veth peer name net0 address {mac} mtu {mtu} netns {place.pid}",
        f"link set {name} addrgenmode none arp off up",
    )
    place.ip(
        "link set net0 addrgenmode none arp off up",
        f"addr add 10.61.{number}.2/24 dev net0",
        f"addr add fd61:{number}::2/64 dev net0 nodad",
        "route add default dev net0",
        "route add ::/0 dev net0",
    )

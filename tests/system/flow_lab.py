"""A client, a balancer's machine and servers in network namespaces, joined by cables.

The client has 10.60.1.2 and fd60:1::2, the balancer 10.60.1.1 and fd60:1::1, and server N 10.60.2.1N and fd60:2::1N.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from contextlib import ExitStack, closing
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

from pipeline.balancer.kernel.flow import (
    MARK_PREFIX,
    FlowGroup,
    FlowListener,
    FlowState,
    FlowTarget,
    Protocol,
    Stickiness,
)
from pipeline.balancer.kernel.table import KernelTable
from tests.support.namespace import Namespace
from tests.system.flow_servers import FlowServers

PORT, SERVER_PORT, SERVERS = 80, 8080, 4
CLIENT = {4: "10.60.1.2", 6: "fd60:1::2"}
BALANCER = {4: "10.60.1.1", 6: "fd60:1::1"}
_SERVER = {4: "10.60.2.1{}", 6: "fd60:2::1{}"}
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
_KIND = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
_CLOSE_BY_RESET = struct.pack("ii", 1, 0)
_TIMEOUT = 5.0


def target(number: int, version: int = 4) -> FlowTarget:
    """Return a server as a target. Servers count from 0."""
    mark = MARK_PREFIX + 16 * version + number
    return FlowTarget(f"server-{number}", ip_address(_SERVER[version].format(number)), SERVER_PORT, mark)


def listener(
    groups: Sequence[FlowGroup],
    protocol: Protocol = "tcp",
    *,
    version: int = 4,
    idle: int = 350,
    stickiness: Stickiness = "flow",
) -> FlowListener:
    """Return a listener at the balancer's address."""
    address = ip_address(BALANCER[version])
    return FlowListener(address, protocol, PORT, timedelta(seconds=idle), stickiness, tuple(groups))


def state(*numbers: int, draining: Sequence[int] = ()) -> FlowState:
    """Return a state with one listener of TCP, whose flows these servers get."""
    group = FlowGroup(1, tuple(map(target, numbers)))
    return FlowState((listener([group]),), tuple(map(target, draining)))


class FlowLab:
    """The three machines. `table` works in that of the balancer, if `entered` is used around its calls."""

    def __init__(self, directory: Path) -> None:
        self.table = KernelTable(directory, "0123456789ab")
        with ExitStack() as opened:
            opened.callback(self.table.close)
            self.client, self.balancer, self.far = (opened.enter_context(closing(Namespace())) for _ in range(3))
            _join(self.client, self.balancer, self.far)
            with self.far.entered():
                places = [_SERVER[version].format(number) for version in (4, 6) for number in range(SERVERS)]
                opened.enter_context(closing(FlowServers(places, SERVER_PORT)))
            self._opened = opened.pop_all()

    def close(self) -> None:
        """End the servers and give up the namespaces."""
        self._opened.close()

    def apply(self, wanted: FlowState) -> None:
        """Bring the table of the balancer's machine to a state."""
        with self.balancer.entered():
            self.table.apply(wanted)

    def open(
        self,
        protocol: Protocol = "tcp",
        *,
        version: int = 4,
        source: tuple[str, int] | None = None,
        timeout: float = _TIMEOUT,
    ) -> socket.socket:
        """Open a flow from the client to the balancer. `timeout`: seconds for each step. Raises `OSError`."""
        with self.client.entered():
            opened = socket.socket(_FAMILY[version], _KIND[protocol])
        opened.settimeout(timeout)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSE_BY_RESET)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if source:
                opened.bind(source)
            opened.connect((BALANCER[version], PORT))
        except OSError:
            opened.close()
            raise
        return opened


def _join(client: Namespace, balancer: Namespace, far: Namespace) -> None:
    for machine in (client, balancer, far):
        # An address of IPv6 can be used at once, instead of after two seconds in which others may claim it.
        machine.set(ipv6__conf__default__accept_dad="0")
    for net, machine in ((1, client), (2, far)):
        balancer.ip(
            f"link add cable{net} type veth peer name cable netns {machine.pid}",
            f"address add 10.60.{net}.1/24 dev cable{net}",
            f"address add fd60:{net}::1/64 dev cable{net} nodad",
            f"link set cable{net} up",
        )
        machine.ip("link set cable up")
    client.ip(*(f"address add 10.60.1.{number}/24 dev cable" for number in range(2, 12)))
    client.ip("address add fd60:1::2/64 dev cable nodad")
    for number in range(SERVERS):
        far.ip(
            f"address add {_SERVER[4].format(number)}/24 dev cable",
            f"address add {_SERVER[6].format(number)}/64 dev cable nodad",
        )
    for net, machine in ((1, client), (2, far)):
        machine.ip(f"route add default via 10.60.{net}.1", f"route add default via fd60:{net}::1")
    balancer.set(ipv4__ip_forward="1", ipv6__conf__all__forwarding="1")


def ask(flow: socket.socket) -> tuple[str, str]:
    """Send a line. Return the address of the server that answered, and the client's address and port as it saw them."""
    flow.send(b"?\n")
    server, client = flow.recv(200).decode().split()
    return server, client


def retransmissions(flow: socket.socket) -> int:
    """Return how often the client has repeated a packet of a connection, the first included."""
    info = flow.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int(struct.unpack_from("=I", info, 100)[0])

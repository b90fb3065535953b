"""A gateway load balancer, carried by the kernel and checked by HAProxy, between network namespaces.

The client has 10.71.1.2 and the server 10.71.2.2. Appliance N, from 1, has 10.71.3.1N, at a bridge of the machine.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.gateway.process import gateway_agent
from pipeline.balancer.model import Declaration, Target, TargetState
from pipeline.balancer.planes import open_balancer
from tests.support.namespace import Namespace
from tests.support.path_appliance import PathAppliance
from tests.support.waiting import DEADLINE, until

OWNER, GROUP, BRIDGE = "security", "firewalls", "appliances"
CLIENT, SERVER, MACHINE = "10.71.1.2", "10.71.2.2", "10.71.3.1"
PORT = 7000
_CHECK = {"interval": "100ms", "timeout": "80ms", "healthy_threshold": 1, "unhealthy_threshold": 2}


class GatewayPlaneLab:
    """The machines with two appliances, and a balancer with nothing declared."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        with ExitStack() as opened:
            self.machine, self.client, self.server, *places = (
                opened.enter_context(closing(Namespace())) for _ in range(5)
            )
            self.machine.ip(
                f"link add {BRIDGE} type bridge",
                f"link set {BRIDGE} up",
                f"addr add {MACHINE}/24 dev {BRIDGE}",
            )
            for place, address in ((self.client, CLIENT), (self.server, SERVER)):
                place.set(ipv4__conf__all__rp_filter="0", ipv4__conf__default__rp_filter="0")
                place.ip(f"addr add {address}/32 dev lo")
            self.appliances = [
                opened.enter_context(closing(self._appliance(opened, place, number)))
                for number, place in enumerate(places, 1)
            ]
            self._balancer = open_balancer(directory)
            self._opened = opened.pop_all()

    @contextmanager
    def opened(self) -> Iterator[Balancer]:
        """Yield the balancer. Within the block, this thread is on its machine."""
        with self.machine.entered():
            yield self._balancer

    def declaration(self, **attributes: Any) -> Declaration:
        """Return what is declared. `attributes`: those of the target group."""
        networks = {
            name: {"namespace": f"/proc/{place.pid}/ns/net", "addresses": [network]}
            for name, place, network in (
                ("clients", self.client, "10.71.1.0/24"),
                ("servers", self.server, "10.71.2.0/24"),
            )
        }
        return Declaration.model_validate(
            {
                "target_groups": {
                    GROUP: {"protocol": "GENEVE", "health_check": _CHECK, "attributes": attributes},
                },
                "load_balancers": {
                    "inspection": {"type": "gateway", "listeners": [{"default_action": {"forward": GROUP}}]},
                },
                "endpoint_services": {
                    "inspection": {"load_balancers": ["inspection"], "acceptance_required": False},
                },
                "endpoints": {"office": {"service": "inspection", "networks": networks}},
            }
        )

    def apply(self) -> None:
        """Declare it."""
        with self.opened() as balancer:
            balancer.check(OWNER, self.declaration())
            balancer.apply(OWNER, self.declaration())

    def register(self) -> None:
        """Register both appliances, and wait until they are healthy."""
        with self.opened() as balancer:
            targets = [
                Target(id=f"fw-{n}", address=each.address, port=6081) for n, each in enumerate(self.appliances, 1)
            ]
            balancer.register(OWNER, GROUP, *targets)
        self.await_healthy()

    def await_healthy(self) -> None:
        """Reconcile until both appliances are healthy."""
        expected = {"fw-1": TargetState.HEALTHY, "fw-2": TargetState.HEALTHY}

        def states() -> Mapping[str, TargetState]:
            with self.opened() as balancer:
                return {each.target.id: each.state for each in balancer.reconciled_health(OWNER, GROUP)}

        until(lambda: states() == expected, "both appliances are healthy")

    def exchange(self, port: int) -> int:
        """Send a datagram from a port of the client to the server, and the reply. Return the appliance of both."""
        before = [len(each.seen) for each in self.appliances]
        with self._socket(self.server, SERVER, PORT) as server, self._socket(self.client, CLIENT, port) as client:
            client.sendto(b"hello", (SERVER, PORT))
            _, peer = server.recvfrom(100)
            assert peer == (CLIENT, port)
            server.sendto(b"hello", peer)
            assert client.recv(100) == b"hello"
        (found,) = [n for n, each in enumerate(self.appliances, 1) if len(each.seen) > before[n - 1]]
        return found

    def chosen(self, ports: Collection[int]) -> dict[int, int]:
        """Return the appliance of a flow from each port."""
        return {port: self.exchange(port) for port in ports}

    def agent(self) -> int | None:
        """Return the process of the gateway agent, or None."""
        return gateway_agent(self.directory).running()

    def end(self) -> None:
        """Withdraw what is declared."""
        with self.opened() as balancer:
            balancer.withdraw(OWNER)

    def traces(self) -> list[str]:
        """Return the devices, IPv4 routes and queueing disciplines of all machines."""
        found = []
        for number, place in enumerate((self.machine, self.client, self.server)):
            devices = place.run("ip", "-oneline", "link").splitlines()
            # The kernel may still be changing the states of devices and their addresses of IPv6.
            found += [f"{number} {line.split(': ')[1]}" for line in devices]
            for command in (("ip", "-4", "route", "show", "table", "all"), ("tc", "qdisc")):
                found += [f"{number} {line}" for line in place.run(*command).splitlines()]
        return sorted(found)

    def close(self) -> None:
        """Withdraw it and give up the machines."""
        try:
            self.end()
        finally:
            self._opened.close()

    def _appliance(self, opened: ExitStack, place: Namespace, number: int) -> PathAppliance:
        address = f"10.71.3.1{number}"
        self.machine.ip(
            f"link add port{number} type veth peer name eth0 netns {place.pid}",
            f"link set port{number} master {BRIDGE} up",
        )
        place.ip("link set eth0 up", f"addr add {address}/24 dev eth0")
        with place.entered():
            # The kernel accepts the connections of health checks.
            listening = socket.create_server((address, 80), backlog=4096)
        opened.callback(listening.close)
        return PathAppliance(place, address)

    @staticmethod
    @contextmanager
    def _socket(place: Namespace, address: str, port: int) -> Iterator[socket.socket]:
        with place.entered():
            found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with found:
            found.settimeout(DEADLINE)
            found.bind((address, port))
            yield found

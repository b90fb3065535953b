"""Networks for tests of gateway load balancers: clients, servers and appliances in network namespaces.

The machine in the middle has 10.81.0.1 on a bridge, and the appliances 10.81.0.11 and on, as containers would.
The clients are 198.18.0.0/24 and fd98::/64, the servers 198.18.1.0/24 and fd98:1::/64. Their namespaces have no way
out: a gateway's endpoint makes one, or `route` does for comparison. Everything ends with the process of the test.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.support.gateway_traffic import Client, Flow, Servers
from tests.support.lab import LAB
from tests.support.namespace import Namespace
from tests.support.packet_capture import PacketCapture
from tests.support.waiting import COMMAND_TIMEOUT, until

MACHINE, BRIDGE = "10.81.0.1", "targets0"
APPLIANCE = "10.81.0.{}"
CLIENTS = (*(f"198.18.0.{n}" for n in range(2, 10)), *(f"fd98::{n:x}" for n in range(2, 10)))
SERVERS = ("198.18.1.10", "198.18.1.11", "fd98:1::10", "fd98:1::11")
CLIENT_NETWORKS, SERVER_NETWORKS = ("198.18.0.0/24", "fd98::/64"), ("198.18.1.0/24", "fd98:1::/64")
# AWS's network between a gateway load balancer and its appliances has jumbo frames.
MTU = 9001
HEALTH_PORT = 80
_FIRST = 11
_MAC = "02:00:00:00:00:01"


class LabAppliance:
    """An appliance, which can be killed and started again."""

    def __init__(self, name: str, address: str, namespace: Namespace, program: Sequence[str]) -> None:
        self.name, self.address, self.namespace = name, address, namespace
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start its program, and wait until it answers health checks."""
        inside = ["nsenter", f"--net=/proc/{self.namespace.pid}/ns/net", "setpriv", "--pdeathsig", "KILL"]
        self._process = subprocess.Popen([*inside, *self._program])
        until(lambda: self._get("/") == "healthy\n", f"the health of {self.name}")

    def kill(self) -> None:
        """Kill its program. The machine stays, and answers nothing. Safe to repeat."""
        if self._process:
            self._process.kill()
            self._process.wait(timeout=COMMAND_TIMEOUT)
            self._process = None

    def counts(self) -> dict[str, int]:
        """Return how many packets it received, returned and dropped since its start."""
        found: dict[str, int] = json.loads(self._get("/flows"))["counts"]
        return found

    def flows(self) -> list[dict[str, Any]]:
        """Return a row for each direction of each flow that it has seen since its start."""
        found: list[dict[str, Any]] = json.loads(self._get("/flows"))["flows"]
        return found

    def _get(self, path: str) -> str:
        with self.namespace.entered():
            try:
                with closing(HTTPConnection("127.0.0.1", HEALTH_PORT, timeout=30)) as connection:
                    connection.request("GET", path)
                    return connection.getresponse().read().decode()
            except OSError:
                return ""

    def close(self) -> None:
        """End it, with its machine."""
        self.kill()
        self.namespace.close()


@dataclass
class Passage:
    """How flows passed the appliances. `split` passed several, `one_way` in one direction only, `unseen` none."""

    shares: dict[str, float]
    split: list[Flow] = field(default_factory=list)
    one_way: list[Flow] = field(default_factory=list)
    unseen: list[Flow] = field(default_factory=list)
    cookies: dict[Flow, set[str]] = field(default_factory=dict)

    @property
    def is_symmetric(self) -> bool:
        """True if both directions of every flow passed the same appliance."""
        return not (self.split or self.one_way or self.unseen)


class GatewayLab:
    """The machine in the middle (`machine`), a client, servers, and appliances that run."""

    def __init__(self, appliances: int = 3) -> None:
        with ExitStack() as opened:
            self.machine, self.clients, self.servers = (opened.enter_context(closing(Namespace())) for _ in range(3))
            self._opened = opened
            _prepare(self.machine, ())
            _prepare(self.clients, CLIENTS)
            _prepare(self.servers, SERVERS)
            self.machine.ip(
                f"link add {BRIDGE} type bridge",
                f"link set {BRIDGE} mtu {MTU} up",
                f"address add {MACHINE}/24 dev {BRIDGE}",
            )
            self.machine.set(ipv4__ip_forward="1", ipv6__conf__all__forwarding="1")
            self.appliances: list[LabAppliance] = []
            for _ in range(appliances):
                self.add_appliance()
            opened.enter_context(Servers(self.servers, SERVERS))
            self.client = Client(self.clients, CLIENTS)
            self._opened = opened.pop_all()

    def close(self) -> None:
        """End all programs and give up the namespaces."""
        self._opened.close()

    def add_appliance(self, *, bad_text: str = "attack") -> LabAppliance:
        """Start another appliance. Packets that contain `bad_text` are dropped."""
        number = _FIRST + len(self.appliances)
        namespace = self._opened.enter_context(closing(Namespace()))
        _prepare(namespace, ())
        self.machine.ip(
            f"link add cable{number} mtu {MTU} type veth peer name eth0 mtu {MTU} netns {namespace.pid}",
            f"link set cable{number} master {BRIDGE} up",
        )
        address = APPLIANCE.format(number)
        namespace.ip("link set eth0 up", f"address add {address}/24 dev eth0", f"route add default via {MACHINE}")
        program = ["env", f"BAD_TEXT={bad_text}", sys.executable, str(LAB / "appliance" / "appliance.py")]
        appliance = LabAppliance(f"appliance-{number}", address, namespace, program)
        self._opened.callback(appliance.kill)
        appliance.start()
        self.appliances.append(appliance)
        return appliance

    def capture(self, path: Path, limit: int = 100_000) -> PacketCapture:
        """Return a capture of all that passes between the machine and the appliances."""
        return PacketCapture(self.machine, BRIDGE, path, limit)

    def route(self) -> None:
        """Join clients and servers by a plain route through the machine, without a gateway."""
        for side, namespace, networks in (
            ("clients", self.clients, CLIENT_NETWORKS),
            ("servers", self.servers, SERVER_NETWORKS),
        ):
            self.machine.ip(
                f"link add {side} mtu {MTU} type veth peer name way mtu {MTU} netns {namespace.pid}",
                f"link set {side} address {_MAC} arp off up",
                *(f"route add {network} dev {side}" for network in networks),
            )
            # Without ARP, a packet is sent to the sender's own hardware address. So both ends have the same one.
            namespace.ip(
                f"link set way address {_MAC} arp off up", "route add default dev way", "route add ::/0 dev way"
            )

    def passage(self, flows: Iterable[Flow]) -> Passage:
        """Return how flows passed the appliances that run."""
        seen: dict[Flow, set[str]] = defaultdict(set)
        directions: dict[Flow, set[str]] = defaultdict(set)
        cookies: dict[Flow, set[str]] = defaultdict(set)
        for appliance in self.appliances:
            for row in appliance.flows():
                flow = _flow_of(row)
                seen[flow].add(appliance.name)
                directions[flow].add(f"{row['source']} {row['ports']}")
                cookies[flow] |= {*row["cookies"]}
        asked = list(flows)
        passed = Passage({each.name: 0.0 for each in self.appliances})
        for flow in asked:
            passed.cookies[flow] = cookies[flow]
            if len(seen[flow]) == 1 and len(directions[flow]) == 2:
                (name,) = seen[flow]
                passed.shares[name] += 1 / len(asked)
            else:
                kept = passed.unseen if not seen[flow] else passed.split if len(seen[flow]) > 1 else passed.one_way
                kept.append(flow)
        return passed


def _flow_of(row: dict[str, Any]) -> Flow:
    one, other = row["ports"] or (0, 0)
    return Flow.of(row["protocol"], (row["source"], one), (row["destination"], other))


def _prepare(namespace: Namespace, addresses: Sequence[str]) -> None:
    """Give a machine its addresses. They are on its loopback device, so any way that a test makes can lead to them."""
    # An address of IPv6 can be used at once, and packets may come from where no route leads back.
    namespace.set(
        ipv6__conf__default__accept_dad="0", ipv4__conf__all__rp_filter="0", ipv4__conf__default__rp_filter="0"
    )
    namespace.ip(*(f"address add {each}/{128 if ':' in each else 32} dev lo" for each in addresses))

"""Shares of targets in two zones: 20,000 connections of clients that choose a node at random, as DNS lets them."""

from __future__ import annotations

import random
import socket
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any, Literal, NamedTuple

from bench.extent import Extent
from bench.figure import Figure
from bench.flow_machines import SERVERS, FlowMachines, flow_machines
from bench.results import Results
from pipeline.balancer.model import Declaration, Target
from pipeline.balancer.planes import open_balancer
from pipeline.base.sockets import free_port

CONNECTIONS = 20_000
ZONES = ("zone-a", "zone-b")
TARGETS = {**dict.fromkeys(("a0", "a1"), "zone-a"), **{f"b{n}": "zone-b" for n in range(8)}}
# Percentage points by which a share may differ from ELB's.
MOST = 1.0
_REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"
# The kernel passes on nothing between addresses of loopback, so there the machines are network namespaces.
_FAR_NODES = ("10.61.1.1", "10.61.1.3")


class Way(NamedTuple):
    """A load balancer of a type, the addresses of its nodes and of its servers. `machines`: where they are."""

    name: str
    kind: str
    nodes: tuple[str, str] = ("127.0.0.2", "127.0.0.3")
    server: str = "127.0.0.1"
    machines: FlowMachines | None = None

    @property
    def plane(self) -> str:
        """What carries it."""
        return "kernel" if self.machines else "HAProxy"

    def on(self, machine: Literal["client", "balancer", "far"]) -> AbstractContextManager[None]:
        """Within the block, this thread is on a machine."""
        return getattr(self.machines, machine).entered() if self.machines else nullcontext()


def measure(extent: Extent) -> Results:
    """Measure both types of load balancer and both planes, each without and with cross-zone balancing."""
    number, rows, figures = extent.choose(CONNECTIONS, CONNECTIONS // 10), list[tuple[str, ...]](), list[Figure]()
    with flow_machines() as machines:
        machines.balancer.ip(f"address add {_FAR_NODES[1]}/24 dev cable1")
        for way in (
            Way("application", "application"),
            Way("network", "network"),
            Way("network by the kernel", "network", _FAR_NODES, SERVERS[0], machines),
        ):
            for crosses in (False, True):
                shares = _shares(way, crosses, number)
                off = max(abs(shares[name] - _expected(zone, crosses)) for name, zone in TARGETS.items())
                few, many = ([shares[name] for name, zone in TARGETS.items() if zone == one] for one in ZONES)
                name = f"{way.name}, cross-zone {'on' if crosses else 'off'}"
                rows.append((name, _range(few), _range(many)))
                figures.append(Figure(f"{name}: largest difference, points", off, MOST))
    return Results.judged(
        "Shares of targets in zones",
        f"Two nodes, one in a zone with 2 targets and one in a zone with 8. {number:,} connections, each to a node "
        "that the client chooses at random. ELB's shares are 25 % and 6.25 % without cross-zone balancing, and 10 % "
        "with it. HAProxy carries the network load balancer, and where named, the kernel.",
        ("load balancer", "a target of zone-a", "a target of zone-b"),
        rows,
        figures,
    )


def _expected(zone: str, crosses: bool) -> float:
    beside = sum(crosses or other == zone for other in TARGETS.values())
    return 100 / beside if crosses else 100 / len(ZONES) / beside


def _range(shares: Sequence[float]) -> str:
    return f"{min(shares):.2f} to {max(shares):.2f} %"


def _shares(way: Way, crosses: bool, number: int) -> Mapping[str, float]:
    """Return the percentage of the connections that each target got."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, _servers(way) as ports:
        with way.on("balancer"):
            balancer = open_balancer(Path(folder) / "balancer")
            balancer.apply("bench", Declaration.model_validate(_declaration(way, crosses, port)))
        try:
            targets = [Target(id=n, address=way.server, port=ports[n], zone=zone) for n, zone in TARGETS.items()]
            with way.on("balancer"):
                balancer.register("bench", "web", *targets)
                balancer.wait_healthy("bench", "web", timedelta(seconds=30))
                assert [choice.plane for _, choice in balancer.plane_choices()] in ([], [way.plane])
            with way.on("client"):
                reached = Counter(_reached(random.choice(way.nodes), port) for _ in range(number))
        finally:
            with way.on("balancer"):
                balancer.withdraw("bench")
    return {name: 100 * reached[name] / number for name in TARGETS}


def _declaration(way: Way, crosses: bool, port: int) -> dict[str, Any]:
    network = way.kind == "network"
    listener = {"port": port, "default_action": {"forward": "web"}, **({"protocol": "TCP"} if network else {})}
    check = {"interval": "1s"} | ({} if network else {"path": "/"})
    group = {
        "protocol": "TCP" if network else "HTTP",
        "port": 80,
        "health_check": check,
        "attributes": {"load_balancing.cross_zone.enabled": crosses},
    }
    edge = {"type": way.kind, "zones": dict(zip(ZONES, way.nodes, strict=True)), "listeners": [listener]}
    return {"target_groups": {"web": group}, "load_balancers": {"edge": edge}}


def _reached(node: str, port: int) -> str:
    """Open a connection and return the name of the target that answers."""
    with socket.create_connection((node, port), timeout=10) as made:
        made.sendall(_REQUEST)
        return b"".join(iter(lambda: made.recv(4096), b"")).decode().rpartition("\r\n")[2]


@contextmanager
def _servers(way: Way) -> Iterator[Mapping[str, int]]:
    """Run a server for each target, and yield their ports. Each answers with its name."""
    with way.on("far"):
        listening = {name: socket.create_server((way.server, 0), backlog=256) for name in TARGETS}
    for name, server in listening.items():
        Thread(target=_serve, args=(server, name), daemon=True).start()
    try:
        yield {name: server.getsockname()[1] for name, server in listening.items()}
    finally:
        for server in listening.values():
            server.shutdown(socket.SHUT_RDWR)
            server.close()


def _serve(server: socket.socket, name: str) -> None:
    answer = f"HTTP/1.1 200 OK\r\nContent-Length: {len(name)}\r\nConnection: close\r\n\r\n{name}".encode()
    with suppress(OSError):
        while True:
            connection, _ = server.accept()
            # A check by TCP sends nothing, and may reset the connection.
            with connection, suppress(ConnectionError):
                if connection.recv(4096):
                    connection.sendall(answer)

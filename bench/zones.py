"""Shares of targets in two zones: 20,000 connections of clients that choose a node at random, as DNS lets them."""

from __future__ import annotations

import random
import socket
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

from bench.extent import Extent
from bench.figure import Figure
from bench.results import Results
from pipeline.balancer.model import Declaration, Target
from pipeline.balancer.planes import open_balancer
from pipeline.base.sockets import free_port

CONNECTIONS = 20_000
NODES = {"zone-a": "127.0.0.2", "zone-b": "127.0.0.3"}
TARGETS = {**dict.fromkeys(("a0", "a1"), "zone-a"), **{f"b{n}": "zone-b" for n in range(8)}}
# Percentage points by which a share may differ from ELB's.
MOST = 1.0
_REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"


def measure(extent: Extent) -> Results:
    """Measure both types of load balancer, each without and with cross-zone balancing."""
    number, rows, figures = extent.choose(CONNECTIONS, CONNECTIONS // 10), list[tuple[str, ...]](), list[Figure]()
    with _servers() as ports:
        for kind in ("application", "network"):
            for crosses in (False, True):
                shares = _shares(kind, crosses, ports, number)
                off = max(abs(shares[name] - _expected(zone, crosses)) for name, zone in TARGETS.items())
                few, many = ([shares[name] for name, zone in TARGETS.items() if zone == one] for one in NODES)
                name = f"{kind}, cross-zone {'on' if crosses else 'off'}"
                rows.append((name, _range(few), _range(many)))
                figures.append(Figure(f"{name}: largest difference, points", off, MOST))
    return Results.judged(
        "Shares of targets in zones",
        f"Two nodes, one in a zone with 2 targets and one in a zone with 8. {number:,} connections, each to a node "
        "that the client chooses at random. ELB's shares are 25 % and 6.25 % without cross-zone balancing, and 10 % "
        "with it.",
        ("load balancer", "a target of zone-a", "a target of zone-b"),
        rows,
        figures,
    )


def _expected(zone: str, crosses: bool) -> float:
    beside = sum(crosses or other == zone for other in TARGETS.values())
    return 100 / beside if crosses else 100 / len(NODES) / beside


def _range(shares: Sequence[float]) -> str:
    return f"{min(shares):.2f} to {max(shares):.2f} %"


def _shares(kind: str, crosses: bool, ports: Mapping[str, int], number: int) -> Mapping[str, float]:
    """Return the percentage of the connections that each target got."""
    port, nodes = free_port(), [*NODES.values()]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        balancer = open_balancer(Path(folder) / "balancer")
        balancer.apply("bench", Declaration.model_validate(_declaration(kind, crosses, port)))
        try:
            targets = [Target(id=n, address="127.0.0.1", port=ports[n], zone=zone) for n, zone in TARGETS.items()]
            balancer.register("bench", "web", *targets)
            balancer.wait_healthy("bench", "web", timedelta(seconds=30))
            reached = Counter(_reached(random.choice(nodes), port) for _ in range(number))
        finally:
            balancer.withdraw("bench")
    return {name: 100 * reached[name] / number for name in TARGETS}


def _declaration(kind: str, crosses: bool, port: int) -> dict[str, Any]:
    network = kind == "network"
    listener = {"port": port, "default_action": {"forward": "web"}, **({"protocol": "TCP"} if network else {})}
    check = {"interval": "1s"} | ({} if network else {"path": "/"})
    group = {
        "protocol": "TCP" if network else "HTTP",
        "port": 80,
        "health_check": check,
        "attributes": {"load_balancing.cross_zone.enabled": crosses},
    }
    edge = {"type": kind, "zones": NODES, "listeners": [listener]}
    return {"target_groups": {"web": group}, "load_balancers": {"edge": edge}}


def _reached(node: str, port: int) -> str:
    """Open a connection and return the name of the target that answers."""
    with socket.create_connection((node, port), timeout=10) as made:
        made.sendall(_REQUEST)
        return b"".join(iter(lambda: made.recv(4096), b"")).decode().rpartition("\r\n")[2]


@contextmanager
def _servers() -> Iterator[Mapping[str, int]]:
    """Run a server for each target, and yield their ports. Each answers with its name."""
    listening = {name: socket.create_server(("127.0.0.1", 0), backlog=256) for name in TARGETS}
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

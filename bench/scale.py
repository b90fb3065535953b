"""Time and memory of the control plane with a thousand targets and a thousand rules."""

from __future__ import annotations

import resource
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from bench.results import Results
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.haproxy.control_socket import Runtime
from pipeline.balancer.haproxy.naming import backend_name
from pipeline.balancer.model import Declaration, Target, TargetState
from pipeline.balancer.planes import open_balancer
from pipeline.base.sockets import free_port
from tests.support.waiting import until

GROUPS, TARGETS, RULES, CHANGES = 100, 10, 1000, 10
MAX_REGISTERING, MAX_DETECTING, MAX_APPLYING, MAX_MEMORY = 3.0, 0.3, 0.5, 100.0


def measure() -> Results:
    """Measure registering, applying and detecting in seconds, and the memory in MB."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, _listening() as port:
        balancer = open_balancer(Path(folder) / "balancer")
        listener = free_port()
        balancer.apply("bench", _declaration(listener, "first"))
        try:
            registering = _duration(partial(_register, balancer, port))
            for group in range(GROUPS):
                balancer.wait_healthy("bench", f"g{group}", timedelta(minutes=1))
            applying = []
            for number in range(CHANGES):
                change = _declaration(listener, f"version{number}")
                applying.append(_duration(partial(balancer.apply, "bench", change)))
            detecting = _detecting(balancer)
        finally:
            balancer.withdraw("bench")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    found = (registering, statistics.median(applying), detecting, memory)
    limits = (MAX_REGISTERING, MAX_APPLYING, MAX_DETECTING, MAX_MEMORY)
    names = (
        f"registering {GROUPS * TARGETS} targets in {GROUPS} groups",
        f"applying a change to one of {RULES} rules (median of {CHANGES})",
        "from HAProxy's detection of an unhealthy target to Penstock's (one query of all groups)",
        "peak memory of the control plane",
    )
    rows = tuple(
        (name, f"{value:.2f} s" if limit < 10 else f"{value:.0f} MB", f"{limit:g}")
        for name, value, limit in zip(names, found, limits, strict=True)
    )
    return Results(
        "Scale",
        f"One balancer with {GROUPS} target groups, {GROUPS * TARGETS} targets with a check every second, and "
        f"{RULES} rules of hosts and paths, used through the Python façade.",
        ("what", "result", "limit"),
        rows,
        f"registered in {registering:.2f} s, applied in {found[1]:.2f} s, detected in "
        f"{detecting:.2f} s, {memory:.0f} MB",
        all(value <= limit for value, limit in zip(found, limits, strict=True)),
    )


def _declaration(port: int, version: str) -> Declaration:
    check = {"protocol": "TCP", "interval": "1s"}
    groups = {f"g{n}": {"port": 80, "health_check": check} for n in range(GROUPS)}
    rules: list[dict[str, Any]] = [
        {
            "priority": n + 1,
            "conditions": [{"host_header": [f"h{n}.shop.test"]}, {"path_pattern": [f"/{version if n == 0 else n}/*"]}],
            "action": {"forward": f"g{n % GROUPS}"},
        }
        for n in range(RULES)
    ]
    listener = {"port": port, "rules": rules, "default_action": {"forward": "g0"}}
    edge = {"scheme": "internal", "listeners": [listener]}
    return Declaration.model_validate({"target_groups": groups, "load_balancers": {"edge": edge}})


def _register(balancer: Balancer, port: int) -> None:
    for group in range(GROUPS):
        targets = (Target(id=f"t{group}-{n}", address="127.0.0.1", port=port) for n in range(TARGETS))
        balancer.register("bench", f"g{group}", *targets)


def _healthy(balancer: Balancer) -> int:
    return sum(
        health.state is TargetState.HEALTHY
        for group in range(GROUPS)
        for health in balancer.target_health("bench", f"g{group}")
    )


def _detecting(balancer: Balancer) -> float:
    """Return the duration of a query of all groups if the change is in the last one, which is the worst case."""
    runtime, backend = Runtime(balancer.directory), backend_name("bench", f"g{GROUPS - 1}")
    runtime.ask_worker(f"set server {backend}/t{GROUPS - 1}-0 health down")
    until(
        lambda: runtime.servers(backend)[f"t{GROUPS - 1}-0"].status.startswith("DOWN"),
        "HAProxy has detected it",
        deadline=60,
    )
    return _duration(partial(_healthy, balancer))


def _duration(work: Any) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


@contextmanager
def _listening() -> Iterator[int]:
    """Listen on a port that accepts every connection, for all targets, and yield it."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as server:

        def accept() -> None:
            while True:
                try:
                    server.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)

"""Changes of one target among a thousand of a network load balancer whose flows the kernel carries."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

from bench.extent import Extent
from bench.figure import Figure, percentile
from bench.flow_machines import BALANCER, SERVERS, FlowMachines, flow_machines
from bench.nginx import file_server
from bench.paced_connections import Connections, paced_connections
from bench.results import Results
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.kernel.flow import MARK_PREFIX, FlowGroup, FlowListener, FlowState, FlowTarget
from pipeline.balancer.kernel.table import KernelTable
from pipeline.balancer.model import Declaration, Target
from pipeline.balancer.planes import open_balancer

_PORT, _RATE = 80, 300
_SERVER_PORTS = tuple(range(8080, 8090))
_PLACES = [(address, port) for address in SERVERS for port in _SERVER_PORTS]


def measure(extent: Extent) -> Results:
    """Deregister targets under load, one after the other, and register each again."""
    changes = extent.choose(500, 50)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, flow_machines() as machines:
        Path(folder).chmod(0o755)
        with machines.far.entered(), file_server(Path(folder, "servers"), _SERVER_PORTS):
            rules = _rule_changes(machines, Path(folder), changes)
            deregistrations, connections = _deregistrations(machines, Path(folder, "balancer"), changes)
    lost = len(connections.failures)
    reasons = "".join(f" ({reason})" for reason in sorted(set(connections.failures)))
    return Results.judged(
        "One of a thousand targets of a network load balancer changes",
        f"{changes} targets are deregistered, removed and registered again, one after the other, while "
        f"{_RATE} connections a second are made: {connections.made:,} in all, {lost} lost{reasons}. The rules are also "
        "changed alone, in a table without traffic.",
        ("change", "median", "p99"),
        [
            (what, f"{percentile(found, 0.5):.1f} ms", f"{percentile(found, 0.99):.1f} ms")
            for what, found in (("rules of the kernel", rules), ("deregistration, confirmed", deregistrations))
        ],
        [Figure("rules of one target, ms", percentile(rules, 0.5), 10), Figure("connections lost", lost, 0)],
    )


def _deregistrations(machines: FlowMachines, folder: Path, changes: int) -> tuple[list[float], Connections]:
    """Return how long each deregistration took, in ms, and the connections that were made meanwhile."""
    with (
        _balancer(machines, folder) as balancer,
        paced_connections(machines.client, (BALANCER, _PORT), _RATE) as connections,
        machines.balancer.entered(),
    ):
        taken = [_replaced(balancer, number) for number in range(changes)]
    assert connections.made > changes, connections
    return taken, connections


@contextmanager
def _balancer(machines: FlowMachines, folder: Path) -> Iterator[Balancer]:
    with machines.balancer.entered():
        balancer = open_balancer(folder)
        group = {"protocol": "TCP", "port": 80, "health_check": {"interval": "60s"}}
        listener = {"protocol": "TCP", "port": _PORT, "default_action": {"forward": "servers"}}
        edge = {"type": "network", "address": BALANCER, "listeners": [listener]}
        declaration = {"target_groups": {"servers": group}, "load_balancers": {"edge": edge}}
        balancer.apply("bench", Declaration.model_validate(declaration))
        try:
            balancer.register("bench", "servers", *map(_target, range(len(_PLACES))))
            balancer.wait_healthy("bench", "servers", timedelta(seconds=120))
            yield balancer
        finally:
            balancer.withdraw("bench")


def _target(number: int) -> Target:
    address, port = _PLACES[number]
    return Target(id=f"server{number}", address=address, port=port)


def _replaced(balancer: Balancer, number: int) -> float:
    """Deregister a target, and register it again. Return how long the first took, in ms."""
    target = _target(number)
    begin = time.perf_counter()
    balancer.deregister("bench", "servers", target.id)
    taken = time.perf_counter() - begin
    balancer.remove_target("bench", "servers", target.id)
    balancer.register("bench", "servers", target)
    balancer.reconcile("bench", "servers")
    return taken * 1000


def _rule_changes(machines: FlowMachines, folder: Path, changes: int) -> list[float]:
    """Return how long the table takes for each change, in ms."""
    targets = [
        FlowTarget(f"server{number}", ip_address(address), port, MARK_PREFIX + 1 + number)
        for number, (address, port) in enumerate(_PLACES)
    ]
    found = []
    with machines.balancer.entered(), closing(KernelTable(folder, "0123456789ab")) as table:
        for number in range(changes + 1):
            left = tuple(target for target in targets if target is not targets[number])
            begin = time.perf_counter()
            table.apply(FlowState((_listener(left),)))
            found.append((time.perf_counter() - begin) * 1000)
        table.remove()
    return found[1:]


def _listener(targets: tuple[FlowTarget, ...]) -> FlowListener:
    group = FlowGroup(1, targets)
    return FlowListener(ip_address(BALANCER), "tcp", _PORT + 1, timedelta(seconds=350), "flow", (group,))

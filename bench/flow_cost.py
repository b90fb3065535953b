"""CPU time of connections through a network load balancer: client, balancer, servers and the kernel's own work.

Rules of the kernel have no process, so all of it is counted, for each balancer in the same way.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from bench.extent import Extent
from bench.figure import Figure, median_ratio
from bench.flow_machines import BALANCER, FlowMachines, flow_machines
from bench.flow_machines import SERVERS as ADDRESSES
from bench.nginx import file_server
from bench.nginx_stream import nginx_stream
from bench.process import cpu
from bench.programs import program
from bench.proxy import Proxy, responses
from bench.results import Results
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.haproxy.plane import HAProxyPlane
from pipeline.balancer.model import Declaration, Target
from pipeline.balancer.planes import open_balancer

_SERVER_PORT, _CONNECTIONS = 8080, 16
_SERVERS = ADDRESSES[:30]
_SIZE = 8 << 20
_NGINX, _KERNEL, _HAPROXY, _NONE = "nginx stream", "Penstock, kernel", "Penstock, HAProxy", "none, direct route"


Costs = dict[tuple[str, str], list[float]]
"""The CPU time in ms of each round, by the load and the balancer."""


class Load(NamedTuple):
    """What wrk asks for. `unit`: responses per unit of the result."""

    what: str
    path: str
    headers: tuple[str, ...]
    unit: float


_LOADS = (
    Load("1,000 new connections", "/", ("Connection: close",), 1000),
    Load("GB received", "/large", (), 1e9 / _SIZE),
)


class Contender(NamedTuple):
    """A way to the servers. `proxies` are its processes besides the servers."""

    name: str
    address: str
    proxies: tuple[Proxy, ...]


def measure(extent: Extent) -> Results:
    """Measure the ways in turn."""
    rounds, seconds = extent.choose((7, 4), (2, 2))
    found: Costs = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, flow_machines() as machines:
        # nginx's workers are another user.
        Path(folder).chmod(0o755)
        with _contenders(machines, Path(folder)) as (ways, servers):
            for load in _LOADS:
                costs = _take_turns(machines, ways, servers, load, rounds, seconds)
                found |= {(load.what, way.name): cost for way, cost in zip(ways, costs, strict=True)}
    return Results.judged(
        "Connections through a network load balancer",
        f"{rounds} rounds of {seconds} s, in turn: medians, and the median of the ratios within a round. wrk in a "
        f"network namespace of its own, with {_CONNECTIONS} connections; 30 addresses of one nginx in another one. "
        "The CPU time of the client, the balancer, the servers and the kernel's threads for packets is counted.",
        ("per", "balancer", "CPU", "relative to nginx"),
        [
            (what, name, f"{statistics.median(found[what, name]):.0f} ms", f"{_ratio(found, what, name):.2f}")
            for what, name in found
        ],
        [
            Figure(f"{name} per {load.what}: times nginx", _ratio(found, load.what, name), limit)
            for name, limits in ((_KERNEL, (0.35, 0.30)), (_HAPROXY, (1.0, 1.0)))
            for load, limit in zip(_LOADS, limits, strict=True)
        ],
    )


def _ratio(found: Costs, what: str, name: str) -> float:
    return median_ratio(found[what, name], found[what, _NGINX])


@contextmanager
def _contenders(machines: FlowMachines, folder: Path) -> Iterator[tuple[list[Contender], Proxy]]:
    with ExitStack() as stack:
        with machines.far.entered():
            pid = stack.enter_context(file_server(folder / "servers", [_SERVER_PORT], _SIZE))
        servers = Proxy("servers", _SERVER_PORT, pid)
        backends = [f"{address}:{_SERVER_PORT}" for address in _SERVERS]
        with machines.balancer.entered():
            stream = stack.enter_context(nginx_stream(folder / "nginx", f"{BALANCER}:81", backends))
            haproxy = stack.enter_context(_penstock(folder / "haproxy", 82, kernel=False))
            kernel = stack.enter_context(_penstock(folder / "kernel", 83, kernel=True))
        yield (
            [
                Contender(_NGINX, f"{BALANCER}:81", (Proxy("nginx", 81, stream),)),
                Contender(_HAPROXY, f"{BALANCER}:82", haproxy),
                Contender(_KERNEL, f"{BALANCER}:83", kernel),
                Contender(_NONE, backends[0], ()),
            ],
            servers,
        )


@contextmanager
def _penstock(folder: Path, port: int, *, kernel: bool) -> Iterator[tuple[Proxy, ...]]:
    """Run Penstock's balancer in the network namespace of the thread, and yield its processes."""
    balancer = open_balancer(folder) if kernel else Balancer(folder, HAProxyPlane(folder))
    group = {"protocol": "TCP", "port": _SERVER_PORT}
    listener = {"protocol": "TCP", "port": port, "default_action": {"forward": "servers"}}
    edge = {"type": "network", "address": BALANCER, "listeners": [listener]}
    balancer.apply(
        "bench",
        Declaration.model_validate({"target_groups": {"servers": group}, "load_balancers": {"edge": edge}}),
    )
    try:
        targets = [Target(id=f"server{n}", address=a, port=_SERVER_PORT) for n, a in enumerate(_SERVERS)]
        balancer.register("bench", "servers", *targets)
        balancer.wait_healthy("bench", "servers", timedelta(seconds=30))
        yield tuple(Proxy(file.stem, port, int(file.read_text().split()[0])) for file in folder.glob("*.pid"))
    finally:
        balancer.withdraw("bench")


def _take_turns(
    machines: FlowMachines, ways: Sequence[Contender], servers: Proxy, load: Load, rounds: int, seconds: int
) -> list[list[float]]:
    """Return the CPU time in ms per unit of each way, in each round."""
    costs: list[list[float]] = [[] for _ in ways]
    for turn in range(rounds):
        for number in [*range(turn % len(ways), len(ways)), *range(turn % len(ways))]:
            costs[number].append(_cost(machines, ways[number], servers, load, seconds))
            print(f"{load.what}, {ways[number].name}: {costs[number][-1]:.1f} ms", file=sys.stderr)
    return costs


def _cost(machines: FlowMachines, way: Contender, servers: Proxy, load: Load, seconds: int) -> float:
    others = (*way.proxies, servers)
    before = sum(proxy.cpu() for proxy in others) + _kernel_time()
    headers = [word for header in load.headers for word in ("-H", header)]
    command = [
        program("wrk"),
        "-t1",
        f"-c{_CONNECTIONS}",
        f"-d{seconds}s",
        *headers,
        f"http://{way.address}{load.path}",
    ]
    with machines.client.entered():
        wrk = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert wrk.stdout is not None
    output = wrk.stdout.read()
    _, status, used = os.wait4(wrk.pid, 0)
    wrk.returncode = os.waitstatus_to_exitcode(status)
    assert wrk.returncode == 0, output
    spent = sum(proxy.cpu() for proxy in others) + _kernel_time() - before + used.ru_utime + used.ru_stime
    return spent * 1000 / (responses(way.name, output) / load.unit)


def _kernel_time() -> float:
    """Return the CPU time so far of the kernel's threads for packets, in seconds."""
    names = ((int(task.parent.name), task.read_text()) for task in Path("/proc").glob("[0-9]*/comm") if task.exists())
    return sum(cpu(pid) for pid, name in names if name.startswith("ksoftirqd/"))

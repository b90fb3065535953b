"""Many open connections of a network load balancer while targets leave."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, TypeVar

from bench.extent import Extent
from bench.figure import Figure
from bench.flow_machines import BALANCER, SERVERS, FlowMachines, flow_machines
from bench.results import Results
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import Declaration, Target
from pipeline.balancer.planes import open_balancer
from tests.support.namespace import Namespace

_PORT, _TARGETS, _LEAVING = 80, 6, 2
T = TypeVar("T")
_CLIENTS = tuple(f"10.61.1.{number}" for number in range(11, 17))


class Holder:
    """A program of `bench.flow_holder` in a network namespace."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._input: IO[str] = process.stdin
        self._output: IO[str] = process.stdout

    def send(self, line: str) -> None:
        """Send it a line."""
        self._input.write(f"{line}\n")
        self._input.flush()

    def answer(self) -> int:
        """Return its next answer."""
        return int(self._output.readline())


def measure(extent: Extent) -> Results:
    """Open connections, deregister a third of the targets, and cut one of those."""
    number = extent.choose(100_002, 3_000)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, flow_machines() as machines, ExitStack() as stack:
        for address in SERVERS[:_TARGETS]:
            stack.enter_context(_server(machines.far, address))
        balancer = stack.enter_context(_balancer(machines, Path(folder)))
        clients = [stack.enter_context(_client(machines.client, address)) for address in _CLIENTS]
        opened, opening = _timed(lambda: _open(clients, number))
        with machines.balancer.entered():
            counted = _in_flight(balancer)
            leaving = sorted(counted)[:_LEAVING]
            _, deregistering = _timed(lambda: [balancer.deregister("bench", "servers", id_) for id_ in leaving])
        touched = _check(clients)
        with machines.balancer.entered():
            _, cutting = _timed(lambda: balancer.abort_connections("bench", "servers", leaving[0]))
        cut = _check(clients)
    return Results.judged(
        "Open connections of a network load balancer",
        f"{opened:,} connections to {_TARGETS} targets, each checked by a byte and its echo. {_LEAVING} targets are "
        "deregistered, and the connections of one of them are cut.",
        ("step", "time", "connections broken"),
        [
            ("open", f"{opening:.1f} s", "0"),
            (f"deregister {_LEAVING} of {_TARGETS}", f"{deregistering * 1000:.0f} ms", f"{touched:,}"),
            ("cut those of one", f"{cutting * 1000:.0f} ms", f"{cut:,} of {counted[leaving[0]]:,}"),
        ],
        [
            Figure("connections touched by the deregistration", touched, 0),
            Figure("connections cut too many or too few", abs(cut - counted[leaving[0]]), 0),
        ],
    )


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    """Return the result of some work, and the seconds that it took."""
    begin = time.perf_counter()
    return work(), time.perf_counter() - begin


def _open(clients: Sequence[Holder], number: int) -> int:
    for client in clients:
        client.send(f"{number // len(clients)} {BALANCER} {_PORT}")
    return sum(client.answer() for client in clients)


def _check(clients: Sequence[Holder]) -> int:
    for client in clients:
        client.send("check")
    return sum(client.answer() for client in clients)


def _in_flight(balancer: Balancer) -> dict[str, int]:
    return {health.target.id: health.in_flight for health in balancer.target_health("bench", "servers")}


@contextmanager
def _server(far: Namespace, address: str) -> Iterator[None]:
    with _program(far, "accept", address, str(_PORT)) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield


@contextmanager
def _client(machine: Namespace, address: str) -> Iterator[Holder]:
    machine.ip(f"address add {address}/24 dev cable")
    with _program(machine, "connect", address) as process:
        yield Holder(process)


@contextmanager
def _program(machine: Namespace, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "bench.flow_holder", *arguments]
    with machine.entered():
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def _balancer(machines: FlowMachines, folder: Path) -> Iterator[Balancer]:
    with machines.balancer.entered():
        balancer = open_balancer(folder)
        listener = {"protocol": "TCP", "port": _PORT, "default_action": {"forward": "servers"}}
        declaration = {
            "target_groups": {"servers": {"protocol": "TCP", "port": _PORT}},
            "load_balancers": {"edge": {"type": "network", "address": BALANCER, "listeners": [listener]}},
        }
        balancer.apply("bench", Declaration.model_validate(declaration))
        targets = [Target(id=f"server{n}", address=address, port=_PORT) for n, address in enumerate(SERVERS[:_TARGETS])]
        balancer.register("bench", "servers", *targets)
        balancer.wait_healthy("bench", "servers", timedelta(seconds=30))
    try:
        yield balancer
    finally:
        with machines.balancer.entered():
            balancer.withdraw("bench")

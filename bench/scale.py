"""Time and memory of the control plane, and how they grow from ten to five thousand targets and rules."""

from __future__ import annotations

import resource
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from bench.extent import Extent
from bench.figure import Figure
from bench.results import Results
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.haproxy.naming import backend_name
from pipeline.balancer.haproxy.plane import HAProxyPlane
from pipeline.balancer.model import Declaration, Target, TargetState
from pipeline.balancer.planes import open_balancer
from pipeline.base.sockets import free_port
from tests.support.waiting import until

# ELB's limit is 1,000 targets in a group.
_GROUP, _REPEATS, _FEW = 1000, 5, 10
_LARGEST = 5000
_MAX_REGISTER, _MAX_ONE_MORE, _MAX_RULE, _MAX_LOOK = 0.8, 10.0, 120.0, 100.0
_MAX_MEMORY = 100.0  # with a thousand targets and rules
# Linear growth gives 1. Timings of one process vary by more than a tenth.
_MAX_GROWTH = 1.5


class Scale(NamedTuple):
    """Milliseconds for one number of targets and rules, and the peak memory of the control plane in MB."""

    size: int
    register: float
    one_more: float
    look: float
    changing: float
    rule: float
    rule_by_targets: float
    memory: float

    def row(self) -> tuple[str, ...]:
        """Return a row of the table."""
        return (f"{self.size:,}", *(f"{value:,.1f} ms" for value in self[1:-1]), f"{self.memory:.0f} MB")


def measure(extent: Extent) -> Results:
    """Measure each size, and compare the growth with linear growth."""
    sizes = extent.choose((10, 100, 1000, _LARGEST), (10, 1000))
    found = [_in_own_process(size) for size in sizes]
    return Results.judged(
        "Scale",
        f"One balancer, used through the Python façade. Its groups have at most {_GROUP:,} targets with a check every "
        f"second, and it has {_FEW} rules. Registering is one call for each group. A look asks for the health of all "
        "targets: of targets at rest, and of targets that have all just passed their first check. Then a rule is "
        f"changed, also in a balancer with that many rules and {_FEW} targets. All but registering and the changing "
        f"look are medians of {_REPEATS}.",
        (
            "targets",
            "register all",
            "one more target",
            "a look at rest",
            "a look while they change",
            "one of that many rules changed",
            "one of few rules changed",
            "peak memory",
        ),
        [scale.row() for scale in found],
        [
            *_limits(found[-1]),
            *_growth(found[-2], found[-1]),
            *(Figure("peak memory with 1,000 targets, MB", s.memory, _MAX_MEMORY) for s in found if s.size == 1000),
        ],
    )


def _limits(largest: Scale) -> list[Figure]:
    """Return the figures of the largest size. A shorter version has no limits to compare with."""
    if largest.size < _LARGEST:
        return []
    return [
        Figure(f"{largest.size:,} targets registered, s", largest.register / 1000, _MAX_REGISTER),
        Figure("one more, ms", largest.one_more, _MAX_ONE_MORE),
        Figure(f"one rule of {largest.size:,} changed, ms", largest.rule, _MAX_RULE),
        Figure(f"a look at {largest.size:,} changing targets, ms", largest.changing, _MAX_LOOK),
    ]


def _growth(smaller: Scale, larger: Scale) -> list[Figure]:
    """Return the growth of what concerns all targets, relative to linear growth."""
    return [
        Figure(f"growth of {name}: times linear", growth(getattr(smaller, name), getattr(larger, name), factor), limit)
        for factor in (larger.size / smaller.size,)
        for name, limit in (("register", _MAX_GROWTH), ("changing", _MAX_GROWTH))
    ]


def growth(smaller: float, larger: float, factor: float) -> float:
    """Return the growth of a duration relative to that of the size, which is `factor`."""
    return larger / smaller / factor


def _in_own_process(size: int) -> Scale:
    """Measure in a new process, because the peak of a process never falls."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measure, size).result()


def _measure(size: int) -> Scale:
    with _balancer(targets=size, rules=_FEW) as (balancer, port, listener):
        register = _milliseconds(lambda: _register(balancer, port, size))
        changing = _changing(balancer, size)
        look = _median(partial(_healthy, balancer, size) for _ in range(_REPEATS))
        more = (Target(id=f"more{n}", address="127.0.0.1", port=port) for n in range(_REPEATS))
        one_more = _median(partial(balancer.register, "bench", "g0", target) for target in more)
        by_targets = _change_rule(balancer, listener, size, _FEW)
    with _balancer(targets=_FEW, rules=size) as (balancer, port, listener):
        _register(balancer, port, _FEW)
        rule = _change_rule(balancer, listener, _FEW, size)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    scale = Scale(size, register, one_more, look, changing, rule, by_targets, memory)
    print(scale, file=sys.stderr)
    return scale


@contextmanager
def _balancer(targets: int, rules: int) -> Iterator[tuple[Balancer, int, int]]:
    """Run a balancer, and yield it with the port of all targets and the port of its listener."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, _listening() as port:
        balancer, listener = open_balancer(Path(folder) / "balancer"), free_port()
        balancer.apply("bench", _declaration(listener, targets, rules, "first"))
        try:
            yield balancer, port, listener
        finally:
            balancer.withdraw("bench")


def _change_rule(balancer: Balancer, listener: int, targets: int, rules: int) -> float:
    changes = [_declaration(listener, targets, rules, f"version{n}") for n in range(_REPEATS)]
    return _median(partial(balancer.apply, "bench", change) for change in changes)


def _groups(size: int) -> Sequence[str]:
    return [f"g{n}" for n in range(-(-size // _GROUP))]


def _declaration(port: int, targets: int, count: int, version: str) -> Declaration:
    check = {"protocol": "TCP", "interval": "1s"}
    names = _groups(targets)
    rules: list[dict[str, Any]] = [
        {
            "priority": n + 1,
            "conditions": [{"host_header": [f"h{n}.shop.test"]}, {"path_pattern": [f"/{version if n == 0 else n}/*"]}],
            "action": {"forward": names[n % len(names)]},
        }
        for n in range(count)
    ]
    listener = {"port": port, "rules": rules, "default_action": {"forward": "g0"}}
    groups = {name: {"port": 80, "health_check": check} for name in names}
    edge = {"scheme": "internal", "listeners": [listener]}
    return Declaration.model_validate({"target_groups": groups, "load_balancers": {"edge": edge}})


def _register(balancer: Balancer, port: int, size: int) -> None:
    for place, group in enumerate(_groups(size)):
        numbers = range(place * _GROUP, min(size, (place + 1) * _GROUP))
        balancer.register("bench", group, *(Target(id=f"t{n}", address="127.0.0.1", port=port) for n in numbers))


def _healthy(balancer: Balancer, size: int) -> int:
    return sum(
        health.state is TargetState.HEALTHY
        for group in _groups(size)
        for health in balancer.target_health("bench", group)
    )


def _changing(balancer: Balancer, size: int) -> float:
    """Return the duration of the first look after all targets have passed a check, which admits them all."""
    plane, groups = HAProxyPlane(balancer.directory), [backend_name("bench", group) for group in _groups(size)]

    def passed() -> bool:
        found = plane.observe(groups).targets
        return sum(fact.check.has_passed_check for group in groups for fact in found[group].values()) == size

    until(passed, "every target has passed a check", deadline=120)
    return _milliseconds(lambda: _healthy(balancer, size))


def _median(works: Iterator[Callable[[], object]]) -> float:
    return statistics.median(map(_milliseconds, works))


def _milliseconds(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return (time.monotonic() - started) * 1000


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

"""Changes of the share of a new release: how exact it is, how soon it is in force, and what it costs."""

from __future__ import annotations

import http.client
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

from bench.extent import Extent
from bench.figure import Figure, median_ratio
from bench.results import Results
from pipeline.balancer.alternate import Alternate, alternate_name, with_alternates
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import Declaration, Target
from pipeline.balancer.planes import open_balancer
from pipeline.base.sockets import free_port

REQUESTS, SHARE, CLIENTS, OWNER, GROUP = 20_000, 10.0, 4, "bench", "web"
# Seconds after the acknowledgement of a switch.
_SOON = 0.05


@dataclass
class Served:
    """The requests of the clients: when each began, and the release that served it."""

    stop: Event = field(default_factory=Event)
    requests: list[tuple[float, str]] = field(default_factory=list)
    failed: int = 0


def measure(extent: Extent) -> Results:
    """Measure one balancer with two releases, each a listener that responds with its name."""
    rounds, requests = extent.choose((100, REQUESTS), (20, REQUESTS // 10))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, _site(Path(folder)) as (balancer, declared, port):
        with _load(port) as steady:
            _shift(balancer, declared, SHARE)
            first = len(steady.requests)
            while len(steady.requests) < first + requests and not steady.failed:
                time.sleep(0.01)
        share = 100 * sum(name == "new" for _, name in steady.requests[first:]) / (len(steady.requests) - first)
        with _load(port) as switched:
            late, times = _switches(balancer, declared, switched, rounds)
        reloads = [_timed(balancer, _with_idle_timeout(declared, 61 + number % 2)) for number in range(rounds)]
    failed = steady.failed + switched.failed
    medians = [f"{1000 * statistics.median(each):.1f} ms" for each in (times, reloads)]
    return Results.judged(
        "Changes of a share",
        f"{CLIENTS} clients send requests on kept connections. First the new release gets {SHARE:g} % of them. Then "
        f"all requests move {rounds} times from one release to the other. A request is late if it began more than "
        f"{1000 * _SOON:g} ms after the acknowledged switch, and went to the release without requests. The last column "
        "is a change that reloads HAProxy.",
        ("share of the new release", "switches", "late", "failed", "median switch", "median reload"),
        ((f"{share:.2f} %", str(rounds), str(late), str(failed), *medians),),
        (
            Figure("difference from the share, in points", abs(share - SHARE), 1),
            Figure("requests that were late", late, 0),
            Figure("failed requests", failed, 0),
            Figure("time of a switch / of a change with a reload", median_ratio(times, reloads), 1),
        ),
    )


def _switches(balancer: Balancer, declared: Declaration, served: Served, rounds: int) -> tuple[int, list[float]]:
    """Move all requests as many times. Return how many were late, and how long each switch took."""
    late, times = 0, []
    for number in range(rounds):
        share, others = (100, "old") if number % 2 else (0, "new")
        times.append(_shift(balancer, declared, share))
        acknowledged, first = time.monotonic(), len(served.requests)
        time.sleep(2 * _SOON)
        while len(served.requests) < first + 10 * CLIENTS and not served.failed:
            time.sleep(0.001)
        late += sum(begun > acknowledged + _SOON and name == others for begun, name in served.requests[first:])
    return late, times


def _shift(balancer: Balancer, declared: Declaration, share: float) -> float:
    return _timed(balancer, with_alternates(declared, {GROUP: Alternate(share)}))


def _timed(balancer: Balancer, declaration: Declaration) -> float:
    start = time.perf_counter()
    balancer.apply(OWNER, declaration)
    return time.perf_counter() - start


@contextmanager
def _site(directory: Path) -> Iterator[tuple[Balancer, Declaration, int]]:
    """Yield a balancer with both releases in service, its declaration without the new one, and its port."""
    balancer, port, answers = (
        open_balancer(directory / "balancer"),
        free_port(),
        {"old": free_port(), "new": free_port()},
    )
    declared = _declaration(port, answers)
    balancer.apply(OWNER, with_alternates(declared, {GROUP: Alternate(0)}))
    try:
        for name, group in (("old", GROUP), ("new", alternate_name(GROUP))):
            balancer.register(OWNER, group, Target(id=name, address="127.0.0.1", port=answers[name]))
            balancer.wait_healthy(OWNER, group, timedelta(seconds=60))
        yield balancer, declared, port
    finally:
        balancer.withdraw(OWNER)


def _declaration(port: int, answers: dict[str, int]) -> Declaration:
    listeners: list[dict[str, Any]] = [{"port": port, "default_action": {"forward": GROUP}}]
    listeners += [
        {"port": own, "default_action": {"fixed_response": {"status_code": 200, "message_body": name}}}
        for name, own in answers.items()
    ]
    groups = {GROUP: {"port": 80, "health_check": {"path": "/", "interval": "1s"}}}
    edge = {"scheme": "internal", "listeners": listeners}
    return Declaration.model_validate({"target_groups": groups, "load_balancers": {"edge": edge}})


def _with_idle_timeout(declared: Declaration, seconds: int) -> Declaration:
    changed = declared.model_dump(mode="json")
    changed["load_balancers"]["edge"]["attributes"] = {"idle_timeout.timeout_seconds": seconds}
    return with_alternates(Declaration.model_validate(changed), {GROUP: Alternate(0)})


@contextmanager
def _load(port: int) -> Iterator[Served]:
    served = Served()
    threads = [Thread(target=_request, args=(port, served)) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield served
    finally:
        served.stop.set()
        for thread in threads:
            thread.join()


def _request(port: int, served: Served) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        while not served.stop.is_set():
            begun = time.monotonic()
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                name = answer.read().decode()
            except (OSError, http.client.HTTPException):
                served.failed += 1
                connection.close()
                continue
            served.failed += answer.status != 200
            served.requests.append((begun, name))

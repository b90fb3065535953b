"""The algorithms of target groups, and their behaviour with too few healthy targets."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pipeline.balancer.haproxy.control_socket import Runtime
from pipeline.balancer.haproxy.server_args import ANOMALY_THRESHOLD
from pipeline.balancer.model import TargetHealth, TargetState
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE, until
from tests.system.alb import CHECK, OWNER, Alb, Echo
from tests.system.servers import Paced

COUNT = "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count"
PERCENTAGE = "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage"
ALGORITHM = "load_balancing.algorithm.type"
# On a busy machine, a check may be answered late.
RARELY = {"path": "/healthz", "interval": "2s", "timeout": "1s"}
CALM = {**CHECK, "interval": "200ms", "timeout": "190ms", "unhealthy_threshold": 2}


def forward(alb: Alb, attributes: dict[str, Any], **group: Any) -> None:
    """Declare a listener that forwards everything to the group `web`."""
    described = {"attributes": attributes, "health_check": CALM, **group}
    alb.declare({"default_action": {"forward": "web"}}, groups={"web": described})


def paced(alb: Alb, *servers: Paced) -> None:
    """Start servers as targets in service."""
    alb.servers += servers  # type: ignore[arg-type]
    alb.balancer.register(OWNER, "web", *(server.target for server in servers))
    until(lambda: all_healthy(alb, *(server.name for server in servers)), "all are healthy")


def all_healthy(alb: Alb, *names: str) -> bool:
    return bool(alb.states() >= dict.fromkeys(names, TargetState.HEALTHY).items())


def share(alb: Alb, requests: int, port: int | None = None) -> Counter[str]:
    """Return the number of requests that each target got."""
    return Counter(alb.ask(port=port).seen["server"] for _ in range(requests))


def health(alb: Alb, name: str, group: str = "web") -> TargetHealth:
    alb.balancer.reconcile(OWNER, group)
    return next(h for h in alb.balancer.target_health(OWNER, group) if h.target.id == name)


def hold(alb: Alb, server: Echo, number: int = 1, port: int | None = None) -> list[threading.Thread]:
    """Open requests that stay in flight at a server, the only one that gets new ones."""
    held = server.requests + number
    threads = [threading.Thread(target=alb.ask, args=("/?wait=20",), kwargs={"port": port}) for _ in range(number)]
    for thread in threads:
        thread.start()
    until(lambda: server.requests == held, "the requests arrived")
    return threads


def test_round_robin_is_exact(alb: Alb) -> None:
    """Each of three targets gets every third request."""
    forward(alb, {})
    alb.serve("a", "b", "c")
    asked = [alb.ask().seen["server"] for _ in range(30)]
    assert Counter(asked) == {"a": 10, "b": 10, "c": 10}
    assert all(len(set(asked[at : at + 3])) == 3 for at in range(0, 30, 3))


def test_least_outstanding_requests_spares_a_busy_target(alb: Alb) -> None:
    """New requests go to the target without open requests."""
    forward(alb, {ALGORITHM: "least_outstanding_requests"})
    (busy,) = alb.serve("busy")
    threads = hold(alb, busy, 2)
    alb.serve("idle")
    assert share(alb, 20) == {"idle": 20}
    busy.released.set()
    for thread in threads:
        thread.join()


def test_least_outstanding_requests_sends_a_slow_target_less(alb: Alb) -> None:
    """Shares follow the targets' speeds, four to one for 100 and 400 ms."""
    forward(alb, {ALGORITHM: "least_outstanding_requests"}, health_check=RARELY)
    quick, slow = Paced("quick", 0.100), Paced("slow", 0.400)
    paced(alb, quick, slow)
    stop = time.monotonic() + 3

    def ask() -> None:
        while time.monotonic() < stop:
            alb.ask()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A busy machine adds to both latencies, so the shares come closer to each other. In turn they would be equal.
    assert 0.15 < slow.requests / (slow.requests + quick.requests) < 0.42


def test_weighted_random_is_even_and_not_in_turn(alb: Alb) -> None:
    """Each of three targets gets 100 of 300 requests within 5 sigma, not in turn."""
    forward(alb, {ALGORITHM: "weighted_random"})
    alb.serve("a", "b", "c")
    asked = [alb.ask().seen["server"] for _ in range(300)]
    assert all(abs(Counter(asked)[name] - 100) < 41 for name in "abc")
    assert any(one == other for one, other in pairwise(asked))


def test_anomaly_mitigation_takes_a_failing_target_out_and_in_again(alb: Alb) -> None:
    """A target with 5xx responses gets none, and later its share."""
    # The target stays out for at least one interval.
    check = {"path": "/healthz", "interval": "5s", "timeout": "4s", "healthy_threshold": 2}
    attributes = {ALGORITHM: "weighted_random", "load_balancing.algorithm.anomaly_mitigation": "on"}
    forward(alb, attributes, health_check=check)
    sick, well = Paced("sick"), Paced("well")
    paced(alb, sick, well)
    sick.status = 503
    while sick.requests < ANOMALY_THRESHOLD:
        alb.ask()
    until(lambda: health(alb, "sick").state is TargetState.UNHEALTHY, "it is taken out")
    assert {alb.ask().status for _ in range(20)} == {200}
    assert sick.requests == ANOMALY_THRESHOLD
    sick.status = 200
    until(lambda: health(alb, "sick").state is TargetState.HEALTHY, "it is let in again")
    until(lambda: alb.ask().text == "sick", "it gets requests again")


@pytest.mark.timing
def test_slow_start_ramps_linearly(alb: Alb) -> None:
    """A new target's weight grows linearly, within 10 %, until it equals the others'."""
    duration = 6
    forward(alb, {"slow_start.duration_seconds": duration})
    old, new = Paced("old"), Paced("new")
    paced(alb, old)
    paced(alb, new)
    begin, asked = time.monotonic(), list[tuple[float, str]]()
    while (now := time.monotonic() - begin) < duration + 1:
        asked.append((now, alb.ask().text))
    # The exact start is unknown here, so the growth is compared.
    weights = [_weight_of("new", asked, number) for number in range(5)]
    assert (weights[4] - weights[0]) / 4 == pytest.approx(1 / duration, rel=0.1)
    assert weights[2] == pytest.approx((weights[0] + weights[4]) / 2, abs=0.05)
    assert _weight_of("new", asked, duration) == pytest.approx(1, abs=0.1)


def _weight_of(name: str, asked: list[tuple[float, str]], second: int) -> float:
    """Return a target's weight relative to the other's, within one second."""
    window = [server for at, server in asked if second <= at < second + 1]
    return window.count(name) / (len(window) - window.count(name))


def test_the_first_targets_do_not_ramp(alb: Alb) -> None:
    """Targets registered together in an empty group get equal shares at once."""
    forward(alb, {"slow_start.duration_seconds": 2})
    early, late = Paced("early"), Paced("late")
    alb.servers += [early, late]  # type: ignore[list-item]
    late.health = 503
    alb.balancer.register(OWNER, "web", early.target, late.target)
    until(lambda: health(alb, "early").state_age.total_seconds() >= 2, "one of them would have ramped")
    late.health = 200
    until(lambda: all_healthy(alb, "early", "late"), "both are healthy")
    assert Counter(alb.ask().text for _ in range(20)) == {"early": 10, "late": 10}


class Case:
    """A target group with its listener and its servers."""

    def __init__(self, port: int, servers: list[Echo]) -> None:
        self.port = port
        self.servers = servers


# The group, what it asks for, how many targets it has, and with how many healthy ones it still spares the others.
FAIL_OPEN: dict[str, tuple[dict[str, Any], int, int]] = {
    "one": ({}, 3, 1),
    "off": ({COUNT: "off"}, 3, 1),
    "two": ({COUNT: 2}, 3, 2),
    "share": ({PERCENTAGE: 50}, 4, 2),
    "up": ({PERCENTAGE: 51}, 4, 3),
    "either": ({COUNT: 3, PERCENTAGE: 25}, 4, 3),
    "sticky": ({"stickiness.enabled": True}, 2, 1),
    "sticky-two": ({"stickiness.enabled": True, COUNT: 2}, 3, 2),
}


@pytest.fixture(scope="module")
def open_alb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Alb, dict[str, Case]]]:
    """All groups of `FAIL_OPEN`, in one configuration."""
    alb = Alb(tmp_path_factory.mktemp("open") / "balancer")
    ports = dict(zip(FAIL_OPEN, (free_port() for _ in FAIL_OPEN), strict=True))
    try:
        alb.declare(
            *({"port": ports[name], "default_action": {"forward": name}} for name in FAIL_OPEN),
            groups={
                name: {"attributes": attributes, "health_check": CALM} for name, (attributes, _, _) in FAIL_OPEN.items()
            },
        )
        cases = {}
        for name, (_, number, _) in FAIL_OPEN.items():
            cases[name] = Case(ports[name], alb.serve(*(f"{name}-{n}" for n in range(number)), group=name))
        yield alb, cases
    finally:
        alb.end()


@pytest.mark.parametrize("name", FAIL_OPEN)
def test_too_few_healthy_targets_and_all_get_requests(open_alb: tuple[Alb, dict[str, Case]], name: str) -> None:
    """All targets get requests with too few healthy ones, also after a recovery."""
    alb, cases = open_alb
    least, port, servers = FAIL_OPEN[name][2], cases[name].port, cases[name].servers
    everybody = {server.name for server in servers}

    def reach(healthy: int) -> set[str]:
        for number, server in enumerate(servers):
            server.health = 200 if number < healthy else 503
        names = [server.name for server in servers]
        wanted = dict(zip(names, [TargetState.HEALTHY] * healthy + [TargetState.UNHEALTHY] * len(names), strict=False))
        until(lambda: alb.states(name) == wanted.items(), f"{healthy} are healthy")
        return set(names[:healthy])

    for healthy in (len(servers), least, least - 1, 0, least - 1, least):
        well = reach(healthy)
        assert set(share(alb, 3 * len(servers), port)) == (well if healthy >= least else everybody), healthy


# Fail-open servers of the same backend, and of a separate one.
KINDS = pytest.mark.parametrize("attributes", [{}, {COUNT: 2}], ids=["backup servers", "separate backend"])


@KINDS
def test_a_deregistered_target_gets_nothing_even_while_all_would(alb: Alb, attributes: dict[str, Any]) -> None:
    """A deregistered target gets nothing while failing open."""
    forward(alb, attributes)
    a, b = alb.serve("a", "b")
    a.health = b.health = 503
    until(lambda: not any(all_healthy(alb, name) for name in "ab"), "none is healthy")
    assert share(alb, 10) == {"a": 5, "b": 5}
    alb.balancer.deregister(OWNER, "web", "a")
    assert share(alb, 10) == {"b": 10}
    b.health = 200
    until(lambda: all_healthy(alb, "b"), "b is healthy")
    assert share(alb, 10) == {"b": 10}
    assert a.requests == 5


@KINDS
def test_in_flight_counts_what_came_while_failing_open(alb: Alb, attributes: dict[str, Any]) -> None:
    """Requests of a fail-open server count as in flight and are drained."""
    forward(alb, attributes)
    (a,) = alb.serve("a")
    threads = hold(alb, a, 1) if attributes else []
    a.health = 503
    until(lambda: health(alb, "a").state is TargetState.UNHEALTHY, "it is unhealthy")
    threads += hold(alb, a, 2)
    assert health(alb, "a").in_flight == len(threads)
    alb.balancer.deregister(OWNER, "web", "a")
    told = health(alb, "a")
    assert (told.state, told.in_flight) == (TargetState.DRAINING, len(threads))
    a.released.set()
    for thread in threads:
        thread.join()
    until(lambda: health(alb, "a").in_flight == 0, "nothing is in flight")
    alb.balancer.remove_target(OWNER, "web", "a")
    until(lambda: not _in_haproxy(alb), "HAProxy has removed it and its fail-open server")


@KINDS
def test_abort_closes_requests_of_fail_open_servers(alb: Alb, attributes: dict[str, Any]) -> None:
    """`abort_connections` closes requests of a fail-open server too."""
    forward(alb, attributes)
    (a,) = alb.serve("a")
    a.health = 503
    until(lambda: health(alb, "a").state is TargetState.UNHEALTHY, "it is unhealthy")
    (thread,) = hold(alb, a)
    alb.balancer.deregister(OWNER, "web", "a")
    alb.balancer.abort_connections(OWNER, "web", "a")
    thread.join(DEADLINE)
    assert not thread.is_alive()
    until(lambda: health(alb, "a").in_flight == 0, "nothing is in flight")


def _in_haproxy(alb: Alb) -> list[str]:
    """Return the servers of the group in all backends."""
    alb.balancer.reconcile(OWNER, "web")
    runtime = Runtime(alb.balancer.directory)
    return [name for backend in ("shop.web", "shop.web.open") for name in runtime.servers(backend)]


def test_the_threshold_follows_the_targets(alb: Alb) -> None:
    """The threshold is half of the registered targets, without a reload."""
    forward(alb, {PERCENTAGE: 50})
    _, b = alb.serve("a", "b")
    b.health = 503
    until(lambda: health(alb, "b").state is TargetState.UNHEALTHY, "b is unhealthy")
    worker = alb.worker()
    assert set(share(alb, 8)) == {"a"}
    c, d = alb.serve("c", "d")
    c.health = d.health = 503
    until(lambda: not any(all_healthy(alb, name) for name in "cd"), "c and d are unhealthy")
    assert set(share(alb, 8)) == {"a", "b", "c", "d"}, "1 of 4"
    alb.balancer.deregister(OWNER, "web", "d")
    assert set(share(alb, 8)) == {"a", "b", "c"}, "1 of 3"
    alb.balancer.deregister(OWNER, "web", "c")
    assert set(share(alb, 8)) == {"a"}, "1 of 2"
    assert alb.worker() == worker


def test_the_threshold_follows_targets_that_never_served(alb: Alb) -> None:
    """A target that is never healthy counts while it is registered."""
    forward(alb, {PERCENTAGE: 50})
    _, b = alb.serve("a", "b")
    b.health = 503
    until(lambda: health(alb, "b").state is TargetState.UNHEALTHY, "b is unhealthy")
    new = Echo("new")
    alb.servers.append(new)
    new.health = 503
    alb.balancer.register(OWNER, "web", new.target)
    assert set(share(alb, 8)) == {"a", "b"}, "1 of 3"
    alb.balancer.deregister(OWNER, "web", "new")
    assert set(share(alb, 8)) == {"a"}, "1 of 2"


def test_fail_open_survives_a_reload(alb: Alb, tmp_path: Path) -> None:
    """An unhealthy target stays unhealthy over a reload, and its group fails open."""
    listener = {"default_action": {"forward": "web"}}
    groups: dict[str, dict[str, Any]] = {"web": {"attributes": {COUNT: 2}, "health_check": CALM}}
    alb.declare(listener, groups=groups)
    a, _ = alb.serve("a", "b")
    a.health = 503
    until(lambda: health(alb, "a").state is TargetState.UNHEALTHY, "a is unhealthy")
    assert set(share(alb, 8)) == {"a", "b"}
    worker = alb.worker()
    alb.declare(listener, {"port": free_port(), **listener}, groups=groups)
    assert alb.worker() != worker
    assert health(alb, "a").state is TargetState.UNHEALTHY
    assert set(share(alb, 8)) == {"a", "b"}

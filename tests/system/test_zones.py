"""Zones: a load balancer's nodes, and the targets to which each of them sends traffic."""

from __future__ import annotations

import http.client
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from pipeline.balancer.model import TargetState
from pipeline.base.clock import SYSTEM
from pipeline.base.errors import ConfigError
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE, until
from tests.system.alb import OWNER, Alb
from tests.system.nlb import Nlb, network_balancer

A, B = "127.0.0.2", "127.0.0.3"
ZONES = {"zone-a": A, "zone-b": B}
CROSS_ZONE = "load_balancing.cross_zone.enabled"
COUNT = "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count"
FORWARD = {"default_action": {"forward": "web"}}
HOUR = timedelta(hours=1)


@pytest.fixture
def alb(tmp_path: Path) -> Iterator[Alb]:
    with closing(Closed(tmp_path / "balancer")) as made:
        yield made


@pytest.fixture
def nlb(tmp_path: Path) -> Iterator[Nlb]:
    with network_balancer(tmp_path / "balancer") as made:
        yield made


class Closed(Alb):
    """An application load balancer that ends with its test."""

    def close(self) -> None:
        self.end()


def declare(alb: Alb, *, cross_zone: bool, zones: Mapping[str, Any] | None = ZONES, **attributes: Any) -> None:
    groups = {"web": {"attributes": {CROSS_ZONE: cross_zone, **attributes}}}
    alb.declare(FORWARD, groups=groups, zones=zones)


def share(alb: Alb, node: str, number: int = 20) -> Counter[str]:
    """Return how many of as many requests to a node reached each server, or got each status."""
    found = Counter[str]()
    for _ in range(number):
        answer = alb.ask(address=node)
        found[answer.seen["server"] if answer.status == 200 else str(answer.status)] += 1
    return found


def unevenly(alb: Alb) -> tuple[set[str], set[str]]:
    """Start two targets in one zone and eight in the other."""
    few, many = {f"a{number}" for number in range(2)}, {f"b{number}" for number in range(8)}
    alb.serve(*sorted(few), zone="zone-a")
    alb.serve(*sorted(many), zone="zone-b")
    return few, many


@pytest.mark.parametrize("crosses", [False, True])
def test_shares_of_requests(alb: Alb, crosses: bool) -> None:
    """With 2 and 8 targets, a target gets 25 or 6.25 % of the requests, and 10 % with cross-zone balancing."""
    declare(alb, cross_zone=crosses)
    few, many = unevenly(alb)
    found = share(alb, A, 80) + share(alb, B, 80)
    expected = (
        dict.fromkeys(few, 16) | dict.fromkeys(many, 16)
        if crosses
        else dict.fromkeys(few, 40) | dict.fromkeys(many, 10)
    )
    assert all(abs(found[name] - number) <= 2 for name, number in expected.items()), found


@pytest.mark.parametrize("crosses", [False, True])
def test_shares_of_connections(nlb: Nlb, crosses: bool) -> None:
    """The same holds for the connections of a network load balancer."""
    nlb.declare(zones=ZONES, cross_zone=crosses)
    few = [f"a{number}" for number in range(2)]
    many = [f"b{number}" for number in range(8)]
    nlb.targets(*few, zone="zone-a")
    nlb.targets(*many, zone="zone-b")
    found = Counter(nlb.reached(80, address=A)) + Counter(nlb.reached(80, address=B))
    expected = dict.fromkeys(few + many, 16) if crosses else dict.fromkeys(few, 40) | dict.fromkeys(many, 10)
    assert all(abs(found[name] - number) <= 2 for name, number in expected.items()), found


def test_a_target_without_a_zone_gets_requests_from_every_node(alb: Alb) -> None:
    """ELB's zone `all`: without cross-zone balancing too, the target gets requests that come to either node."""
    declare(alb, cross_zone=False)
    alb.serve("a", zone="zone-a")
    alb.serve("all")
    assert set(share(alb, A)) == {"a", "all"}
    assert set(share(alb, B)) == {"all"}


def test_an_empty_zone_answers_503(alb: Alb) -> None:
    """Without cross-zone balancing, the node of a zone without targets answers 503, and the other node serves."""
    declare(alb, cross_zone=False)
    alb.serve("a", zone="zone-a")
    assert share(alb, A) == {"a": 20}
    assert share(alb, B, 3) == {"503": 3}


def test_an_empty_zone_ends_connections(nlb: Nlb) -> None:
    """A network load balancer's node without targets ends each connection at once."""
    nlb.declare(zones=ZONES)
    nlb.targets("a", zone="zone-a")
    with nlb.connection(address=B) as made:
        assert made.ends()
    assert nlb.reached(1, address=A) == ["a"]


@pytest.mark.parametrize("needed", [1, 2])
def test_a_zone_fails_open_by_itself(alb: Alb, needed: int) -> None:
    """With too few healthy targets in its zone, a node sends to all targets of the zone, and to no other's."""
    declare(alb, cross_zone=False, **{COUNT: needed})
    bad, worse = alb.serve("a1", "a2", zone="zone-a")
    alb.serve("b1", "b2", zone="zone-b")
    bad.health = worse.health = 500
    alb.servers[-1].health = 200
    until(lambda: dict(alb.states())["a1"] == dict(alb.states())["a2"] == TargetState.UNHEALTHY, "zone a is unhealthy")
    assert set(share(alb, A)) == {"a1", "a2"}
    assert set(share(alb, B)) == {"b1", "b2"}


def test_an_unhealthy_target_leaves_its_zone_to_the_others(alb: Alb) -> None:
    """A node sends nothing to an unhealthy target while another of its zone is healthy, and again once it recovers."""
    declare(alb, cross_zone=False)
    bad, _ = alb.serve("a1", "a2", zone="zone-a")
    bad.health = 500
    until(lambda: dict(alb.states())["a1"] == TargetState.UNHEALTHY, "a1 is unhealthy")
    assert share(alb, A) == {"a2": 20}
    bad.health = 200
    until(lambda: dict(alb.states())["a1"] == TargetState.HEALTHY, "a1 is healthy")
    assert set(share(alb, A)) == {"a1", "a2"}


@pytest.mark.parametrize("crosses", [False, True])
def test_a_zone_that_is_not_enabled(alb: Alb, crosses: bool) -> None:
    """A target in a zone that the load balancer is not enabled in is unused, and gets nothing."""
    declare(alb, cross_zone=crosses)
    alb.serve("a", zone="zone-a")
    alb.balancer.register(OWNER, "web", alb.servers[0].target.model_copy(update={"id": "c", "zone": "zone-c"}))
    alb.states()
    health = next(one for one in alb.balancer.target_health(OWNER, "web") if one.target.id == "c")
    assert (health.state, health.reason) == (TargetState.UNUSED, "Target.NotInUse")
    assert share(alb, A) == {"a": 20}


def test_a_shifted_zone_gets_nothing(alb: Alb) -> None:
    """While a zone is shifted away, no node sends to its targets, unless too few others are healthy."""
    declare(alb, cross_zone=True)
    (kept,) = alb.serve("a", zone="zone-a")
    alb.serve("b", zone="zone-b")
    alb.balancer.shift(OWNER, "edge", "zone-b", SYSTEM.now().later(HOUR))
    # Each pool has its own check of the target, which passes a little later in one of them.
    until(lambda: share(alb, A) == share(alb, B) == {"a": 20}, "only the other zone gets requests")
    assert dict(alb.states())["b"] == TargetState.HEALTHY
    kept.health = 500
    until(lambda: dict(alb.states())["a"] == TargetState.UNHEALTHY, "a is unhealthy")
    # Each pool has its own check of the target, which fails a little later in one of them.
    until(lambda: set(share(alb, A)) == {"a", "b"}, "both get requests")
    kept.health = 200
    alb.balancer.end_shift(OWNER, "edge")
    # As above.
    until(lambda: set(share(alb, A)) == {"a", "b"}, "both get requests again")
    until(lambda: dict(alb.states())["a"] == TargetState.HEALTHY, "a is healthy")


def test_a_shift_ends_by_itself(alb: Alb) -> None:
    """The first reconciliation after its time ends a shift."""
    declare(alb, cross_zone=True)
    alb.serve("a", zone="zone-a")
    alb.serve("b", zone="zone-b")
    alb.balancer.shift(OWNER, "edge", "zone-b", SYSTEM.now().later(timedelta(milliseconds=1)))
    alb.balancer.reconcile()
    assert set(share(alb, A)) == {"a", "b"}
    assert not any(one.shift for one in alb.balancer.registry().load_balancers.values())


def test_no_request_is_lost_by_shifts(alb: Alb) -> None:
    """Under load on both nodes, a zone is shifted away and put back ten times, and every request is answered."""
    declare(alb, cross_zone=True)
    alb.serve("a", zone="zone-a")
    alb.serve("b", zone="zone-b")
    ended, answered, failures = Event(), Counter[str](), list[str]()

    def ask(node: str) -> None:
        with closing(http.client.HTTPConnection(node, alb.port, timeout=DEADLINE)) as kept:
            while not ended.is_set():
                try:
                    kept.request("GET", "/")
                    answer = kept.getresponse()
                    answered[json.loads(answer.read())["server"]] += 1
                except (OSError, ValueError, http.client.HTTPException) as error:
                    failures.append(f"{node}: {error!r}")

    with ThreadPoolExecutor() as pool:
        for node in (A, B, A, B):
            pool.submit(ask, node)
        for _ in range(10):
            alb.balancer.shift(OWNER, "edge", "zone-b", SYSTEM.now().later(HOUR))
            before = answered["a"]
            until(lambda least=before + 20: answered["a"] > least, "the other zone answers")
            alb.balancer.end_shift(OWNER, "edge")
            before = answered["b"]
            until(lambda least=before + 20: answered["b"] > least, "the zone answers again")
        ended.set()
    assert failures == []


def test_without_cross_zone_balancing_a_shifted_node_serves_on(alb: Alb) -> None:
    """A client that still knows the address of the zone's node is served by the targets of its zone."""
    declare(alb, cross_zone=False)
    alb.serve("a", zone="zone-a")
    alb.serve("b", zone="zone-b")
    alb.balancer.shift(OWNER, "edge", "zone-b", SYSTEM.now().later(HOUR))
    assert share(alb, A) == {"a": 20}
    assert share(alb, B) == {"b": 20}


def test_a_replaced_worker_passes_the_node_on(alb: Alb) -> None:
    """A request on a connection from before a reload still belongs to the node that the client connected to."""
    declare(alb, cross_zone=False)
    alb.serve("a", zone="zone-a")
    alb.serve("b", zone="zone-b")
    with closing(http.client.HTTPConnection(B, alb.port, timeout=DEADLINE)) as kept:
        kept.request("GET", "/")
        assert b'"server": "b"' in kept.getresponse().read()
        before = alb.worker()
        groups = {"web": {"attributes": {CROSS_ZONE: False}}}
        alb.declare(FORWARD, {"port": free_port(), **FORWARD}, groups=groups, zones=ZONES)
        assert alb.worker() != before
        kept.request("GET", "/")
        assert b'"server": "b"' in kept.getresponse().read()


def test_enabling_and_disabling_zones_leaves_no_target_out(alb: Alb) -> None:
    """Targets keep getting requests when a load balancer gets zones, loses one of them, or loses all."""
    alb.declare(FORWARD)
    alb.serve("old")
    declare(alb, cross_zone=False)
    assert share(alb, A) == share(alb, B) == {"old": 20}
    alb.serve("b", zone="zone-b")
    declare(alb, cross_zone=False, zones={"zone-a": A})
    assert set(share(alb, A)) == {"old", "b"}
    alb.declare(FORWARD)
    assert set(share(alb, "127.0.0.1")) == {"old", "b"}


def test_an_address_that_the_machine_does_not_have(alb: Alb) -> None:
    """A zone's address must be one of this machine."""
    with pytest.raises(ConfigError, match=r"address 192\.0\.2\.1 of load balancer edge of shop is not an address"):
        declare(alb, cross_zone=True, zones={"zone-a": "192.0.2.1"})

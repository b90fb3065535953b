"""The interval for which an unhealthy target of a network load balancer keeps its connections."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from pipeline.balancer.data_plane import CheckFact, Facts, TargetFact
from pipeline.balancer.health import group_health
from pipeline.balancer.model import Declaration, Target, TargetState
from pipeline.balancer.reconciler import reconcile
from pipeline.balancer.registry import Registry
from pipeline.balancer.settled import is_settled
from pipeline.base.clock import SYSTEM

ENDPOINT = "10.0.0.1:80"
UNHEALTHY = "target_health_state.unhealthy"
DRAINS = {f"{UNHEALTHY}.connection_termination.enabled": False, f"{UNHEALTHY}.draining_interval_seconds": 60}
NEEDED = "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count"


def registry(attributes: dict[str, Any], zones: dict[str, str] | None = None, **targets: str | None) -> Registry:
    """A network load balancer with admitted targets, each in its zone."""
    group = {"protocol": "TCP", "port": 80, "attributes": attributes}
    listener = {"protocol": "TCP", "port": 5432, "default_action": {"forward": "db"}}
    edge = {"type": "network", "listeners": [listener], "zones": zones}
    declared = Declaration.model_validate({"target_groups": {"db": group}, "load_balancers": {"edge": edge}})
    made = [Target(id=name, address="10.0.0.1", port=80, zone=zone) for name, zone in targets.items()]
    found = Registry().declare("shop", declared).register("shop", "db", made)
    return found.with_admitted("shop", "db", targets, True, SYSTEM.now())


def up(in_flight: int = 1) -> TargetFact:
    return TargetFact(True, True, CheckFact("passed", passes=1), in_flight, timedelta(hours=1), ENDPOINT)


def down(seconds: int, in_flight: int = 1) -> TargetFact:
    return TargetFact(True, False, CheckFact("failed", text="refused"), in_flight, timedelta(seconds=seconds), ENDPOINT)


def aborted(found: Registry, **known: TargetFact) -> tuple[tuple[str, str], ...]:
    """The targets whose connections end. Nothing else is to be changed."""
    result = reconcile(found, Facts(running=True, at=SYSTEM.now(), targets={"shop.db": known}))
    assert (result.registry, result.apply, result.steer) == (found, False, ())
    return result.abort


@pytest.mark.parametrize(
    ("seconds", "state"), [(0, "unhealthy.draining"), (59, "unhealthy.draining"), (60, "unhealthy")]
)
def test_the_state_says_that_it_drains(seconds: int, state: str) -> None:
    """For the interval, an unhealthy target is `unhealthy.draining`. Its reason is that of its checks."""
    (found,) = group_health(registry(DRAINS, a=None), "shop", "db", {"a": down(seconds)})
    assert (found.state, found.reason) == (state, "Target.FailedHealthChecks")
    assert found.state.is_unhealthy


def test_connections_end_with_the_interval() -> None:
    """They stay until then, and there is nothing to end without any. Those of healthy targets stay."""
    found = registry(DRAINS, a=None, b=None)
    assert aborted(found, a=down(59), b=up()) == ()
    assert aborted(found, a=down(60), b=up()) == (("shop.db", "a"),)
    assert aborted(found, a=down(60, in_flight=0), b=up()) == ()


def test_without_an_interval_connections_stay() -> None:
    """A group that neither closes them nor has an interval keeps them, and its target is `unhealthy` at once."""
    found = registry({f"{UNHEALTHY}.connection_termination.enabled": False}, a=None, b=None)
    assert aborted(found, a=down(1000), b=up()) == ()
    assert group_health(found, "shop", "db", {"a": down(0), "b": up()})[0].state is TargetState.UNHEALTHY


def test_a_group_that_fails_open_keeps_its_connections() -> None:
    """With too few healthy targets, the unhealthy ones get new connections, so the others do not end."""
    assert aborted(registry(DRAINS, a=None, b=None), a=down(60), b=down(60)) == ()
    assert aborted(registry({**DRAINS, NEEDED: 2}, a=None, b=None), a=down(60), b=up()) == ()


def test_a_zone_that_fails_open_keeps_its_connections() -> None:
    """Without cross-zone balancing, each zone counts its own targets."""
    found = registry(DRAINS, {"a": "10.0.0.8", "b": "10.0.0.9"}, a1="a", b1="b", b2="b")
    assert aborted(found, a1=down(60), b1=down(60), b2=up()) == (("shop.db", "b1"),)


def test_a_daemon_looks_again() -> None:
    """No report of the data plane says that the interval is over, so such a group is never settled."""
    assert not is_settled(registry(DRAINS, a=None))
    assert is_settled(registry({}, a=None))

"""Zones: the pools of nodes, the health of nodes, zonal shifts, and how all of it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.balancer.alternate import Alternate, with_alternates
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.data_plane import CheckFact, Facts, TargetFact
from pipeline.balancer.model import Declaration, Target, alternate_group
from pipeline.balancer.nodes import NodeHealth, node_health
from pipeline.balancer.pools import Pool, pools_of, zones_of
from pipeline.balancer.reconciler import reconcile
from pipeline.balancer.registry import Registry
from pipeline.balancer.registry_change import RegistryChange
from pipeline.balancer.registry_snapshot import dump, load
from pipeline.balancer.settled import is_settled
from pipeline.balancer.zonal_shift import ZonalShift
from pipeline.base.clock import SYSTEM
from pipeline.base.errors import ConfigError
from pipeline.testing.fakes.data_plane import FakePlane

CROSS_ZONE = "load_balancing.cross_zone.enabled"
FAILOVER = "target_group_health.dns_failover.minimum_healthy_targets"
ROUTING = "target_group_health.unhealthy_state_routing.minimum_healthy_targets"
ZONES = {"zone-a": "127.0.0.2", "zone-b": "127.0.0.3"}
NOW = SYSTEM.now()
LATER = NOW.later(timedelta(minutes=10))
AWAY = ZonalShift(zone="zone-b", until=LATER)


def declaration(
    kind: str = "application", *, zones: Mapping[str, str] | None = ZONES, group: Any = None, **attributes: Any
) -> Declaration:
    protocol = "HTTP" if kind == "application" else "TCP"
    listener = {"port": 8000, "default_action": {"forward": "web"}}
    listener |= {} if kind == "application" else {"protocol": "TCP"}
    edge = {"type": kind, "zones": zones, "listeners": [listener], "attributes": attributes}
    web = {"protocol": protocol, "port": 80, "attributes": group or {}}
    return Declaration.model_validate({"target_groups": {"web": web}, "load_balancers": {"edge": edge}})


def registered(*zones: str | None, **declared: Any) -> Registry:
    """Return a registry with targets t0, t1 … in these zones."""
    targets = [Target(id=f"t{n}", address="10.0.0.1", port=80, zone=zone) for n, zone in enumerate(zones)]
    registry = Registry().declare("shop", declaration(**declared)).register("shop", "web", targets)
    return registry.with_admitted("shop", "web", [target.id for target in targets], True, NOW)


def facts(registry: Registry, *up: bool) -> Facts:
    check = CheckFact("passed", passes=2)
    known = {
        one.target.id: TargetFact(True, is_up, check, 0, timedelta(0), "10.0.0.1:80")
        for one, is_up in zip(registry.registrations("shop", "web"), up, strict=True)
    }
    return Facts(running=True, at=NOW, targets={"shop.web": known})


def healthy_zones(registry: Registry, *up: bool) -> set[str]:
    nodes = node_health(registry, facts(registry, *up), NOW)["shop", "edge"]
    return {zone for zone, node in nodes.items() if node.healthy}


def pools(registry: Registry) -> set[Pool]:
    return set(pools_of(registry, "shop", "web", registry.group("shop", "web")))


@pytest.mark.parametrize(
    ("kind", "attributes", "group", "crosses"),
    [
        ("application", {}, {}, True),
        ("application", {CROSS_ZONE: True}, {CROSS_ZONE: False}, False),
        ("application", {}, {CROSS_ZONE: "use_load_balancer_configuration"}, True),
        ("network", {}, {}, False),
        ("network", {CROSS_ZONE: True}, {}, True),
        ("network", {CROSS_ZONE: True}, {CROSS_ZONE: "false"}, False),
        ("network", {}, {CROSS_ZONE: "true"}, True),
    ],
)
def test_the_targets_of_a_node(kind: str, attributes: dict[str, Any], group: dict[str, Any], crosses: bool) -> None:
    """ALBs balance across zones, NLBs do not, and the target group's setting replaces the load balancer's."""
    found = pools(registered(kind=kind, group=group, **attributes))
    assert found == ({Pool(("zone-a", "zone-b"))} if crosses else {Pool(("zone-a",)), Pool(("zone-b",))})


def test_without_zones_every_target_is_in_the_pool() -> None:
    """The zones of targets do not matter to a load balancer without zones."""
    registry = registered("zone-a", None, zones=None)
    assert pools(registry) == {Pool()}
    assert zones_of(registry, "shop", "web") == ()
    assert node_health(registry, facts(registry, True, True), NOW) == {}


def test_a_shift_leaves_the_targets_of_a_zone_out() -> None:
    """With cross-zone balancing, nodes prefer the other zones. The targets stay in the pool that checks them."""
    assert pools(registered().shift("shop", "edge", AWAY)) == {
        Pool(("zone-a", "zone-b")),
        Pool(("zone-a", "zone-b"), away="zone-b"),
    }
    off = registered(group={CROSS_ZONE: False})
    assert pools(off.shift("shop", "edge", AWAY)) == pools(off)


@pytest.mark.parametrize(
    ("group", "up", "zones"),
    [
        ({CROSS_ZONE: False}, (True, True, True), {"zone-a", "zone-b"}),
        ({CROSS_ZONE: False}, (True, False, False), {"zone-a"}),
        ({CROSS_ZONE: False, f"{FAILOVER}.count": 2}, (True, True, True), {"zone-b"}),
        ({CROSS_ZONE: False, f"{FAILOVER}.percentage": 60}, (True, True, False), {"zone-a"}),
        ({CROSS_ZONE: False, f"{ROUTING}.count": 2}, (True, True, True), {"zone-b"}),
        ({}, (True, False, False), {"zone-a", "zone-b"}),
        ({}, (False, False, False), set()),
        ({f"{FAILOVER}.count": 2}, (True, False, False), set()),
    ],
)
def test_a_node_needs_healthy_targets(group: dict[str, Any], up: tuple[bool, ...], zones: set[str]) -> None:
    """A zone leaves the names with fewer healthy targets than its threshold: its own ones, or those of all zones."""
    assert healthy_zones(registered("zone-a", "zone-b", "zone-b", group=group), *up) == zones


def test_a_zone_without_targets() -> None:
    """Without cross-zone balancing, a zone without targets is unhealthy, unless some target is in every zone."""
    assert healthy_zones(registered("zone-a", group={CROSS_ZONE: False}), True) == {"zone-a"}
    assert healthy_zones(registered(None, group={CROSS_ZONE: False}), True) == {"zone-a", "zone-b"}


def test_a_group_without_targets_does_not_count() -> None:
    """Before the first deployment, every node is healthy."""
    assert healthy_zones(registered()) == {"zone-a", "zone-b"}


@pytest.mark.parametrize(("share", "zones"), [(0, {"zone-a", "zone-b"}), (0.1, {"zone-a"}), (100, {"zone-a"})])
def test_an_alternate_group_counts_once_it_gets_requests(share: float, zones: set[str]) -> None:
    """Targets of a new release that still start take no zone out of the names, also behind a test listener."""
    home = registered("zone-a", "zone-b", group={CROSS_ZONE: False})
    declared = home.declaration("shop")
    assert declared is not None
    test = alternate_group.TestTraffic(port=8081)
    registry = home.declare("shop", with_alternates(declared, {"web": Alternate(share, test)}))
    targets = [Target(id=f"n{n}", address="10.0.0.1", port=80, zone=zone) for n, zone in enumerate(ZONES)]
    registry = registry.register("shop", "web-next", targets).with_admitted("shop", "web-next", ["n0"], True, NOW)
    known = facts(registry, True, True)
    fact = known.targets["shop.web"]["t0"]
    both = {**known.targets, "shop.web-next": {"n0": fact, "n1": fact._replace(admitted=False, up=False)}}
    found = node_health(registry, replace(known, targets=both), NOW)["shop", "edge"]
    assert {zone for zone, health in found.items() if health.healthy} == zones


def test_the_reason_of_an_unhealthy_node() -> None:
    """It names the target group and what it lacks, or the end of the shift."""
    registry = registered("zone-a", "zone-b", group={CROSS_ZONE: False}).shift("shop", "edge", AWAY)
    nodes = node_health(registry, facts(registry, False, True), NOW)["shop", "edge"]
    assert nodes["zone-a"] == NodeHealth(False, "target group web has 0 healthy of 1 needed targets")
    assert nodes["zone-b"].reason == f"shifted away until {LATER.wall:%Y-%m-%d %H:%M:%S} UTC"
    assert node_health(registry, facts(registry, True, True), LATER)["shop", "edge"]["zone-b"].healthy


@pytest.mark.parametrize(
    ("declared", "shift", "error"),
    [
        ({"zones": None}, ("shop", "edge", "zone-b"), "load balancer edge of shop has no zones"),
        ({}, ("shop", "edge", "zone-c"), "zone zone-c of load balancer edge of shop is not declared"),
        ({}, ("shop", "egde", "zone-b"), "load balancer egde of shop is not declared"),
        ({}, ("shopp", "edge", "zone-b"), "owner shopp is not declared"),
        ({"zonal_shift.config.enabled": False}, ("shop", "edge", "zone-b"), "zonal shifts are disabled for load"),
    ],
)
def test_shifts_that_are_refused(declared: dict[str, Any], shift: tuple[str, str, str], error: str) -> None:
    """A shift needs a zone that the load balancer has, and the attribute that allows it."""
    owner, name, zone = shift
    with pytest.raises(ConfigError) as caught:
        registered(**declared).shift(owner, name, ZonalShift(zone=zone, until=LATER))
    assert error in str(caught.value)


def test_a_shift_outlives_another_declaration() -> None:
    """It stays with an unchanged or changed declaration, and goes with its zone."""
    registry = registered().shift("shop", "edge", AWAY)

    def shift(changed: Registry) -> ZonalShift | None:
        (found,) = changed.load_balancers.values()
        return found.shift

    assert registry.declare("shop", declaration()) is registry
    assert shift(registry.declare("shop", declaration(**{"idle_timeout.timeout_seconds": 5}))) == AWAY
    assert shift(registry.declare("shop", declaration(zones={"zone-a": "127.0.0.2"}))) is None


def test_a_shift_ends_with_its_time() -> None:
    """Until then, nothing is settled. At its time, the next reconciliation ends it and applies that."""
    registry = registered("zone-a", "zone-b").shift("shop", "edge", AWAY)
    assert not is_settled(registry)
    assert reconcile(registry, facts(registry, True, True)).registry is registry
    after = reconcile(registry, Facts(running=True, at=LATER, targets={}))
    assert after.apply
    assert is_settled(after.registry)
    assert reconcile(registry, Facts(running=False, at=LATER, targets={})).registry == after.registry


@pytest.mark.parametrize("step", [timedelta(days=-400), timedelta(seconds=-30), timedelta(hours=3)])
def test_a_shift_does_not_end_by_a_step_of_the_clock(step: timedelta) -> None:
    """It takes as long as it was said, and its end is shown by the clock as it is now."""
    registry = registered("zone-a", "zone-b").shift("shop", "edge", AWAY)
    begun, over = (replace(stamp, wall=stamp.wall + step) for stamp in (NOW, LATER))
    node = node_health(registry, facts(registry, True, True), begun)["shop", "edge"]["zone-b"]
    assert node.reason == f"shifted away until {LATER.wall + step:%Y-%m-%d %H:%M:%S} UTC"
    assert registry.without_ended_shifts(begun) is registry
    assert registry.without_ended_shifts(over) is not registry


def test_a_shift_goes_on_after_a_restart_of_the_machine() -> None:
    """Then only the wall time tells how long it was away."""
    registry = registered("zone-a", "zone-b").shift("shop", "edge", AWAY)
    early, late = (replace(NOW.later(timedelta(minutes=passed)), boot="another", seconds=5.0) for passed in (9, 10))
    assert registry.without_ended_shifts(early) is registry
    assert registry.without_ended_shifts(late) is not registry


def test_zones_and_shifts_are_stored() -> None:
    """A snapshot and a change of the registry have the zones of load balancers and targets, and the shift."""
    before = registered("zone-a", None)
    after = before.shift("shop", "edge", AWAY)
    for registry in (before, after):
        assert load(dump(registry).encode()).by_field() == registry.by_field()
        assert load(dump(registry).encode()).targets == registry.targets
    change = RegistryChange.between(before, after)
    assert change is not None
    assert RegistryChange.model_validate_json(change.model_dump_json(exclude_unset=True)).applied_to(before) == after


@pytest.mark.parametrize(
    ("zones", "expected"),
    [
        ({"zone-a": "127.0.0.2"}, ["zone-a", None, "zone-c"]),
        (None, ["zone-a", "zone-b", "zone-c"]),
        (ZONES, ["zone-a", "zone-b", "zone-c"]),
    ],
)
def test_targets_of_a_zone_that_is_disabled(zones: Mapping[str, str] | None, expected: list[str | None]) -> None:
    """They are in no zone from now on, so they stay in service. A target of a zone that never was enabled stays."""
    after = registered("zone-a", "zone-b", "zone-c").declare("shop", declaration(zones=zones))
    assert [one.target.zone for one in after.registrations("shop", "web")] == expected


def test_the_balancer_shifts_and_ends(tmp_path: Path) -> None:
    """A shift is applied and on disk when the call returns, and so is its end."""
    plane = FakePlane()
    balancer = Balancer(tmp_path, plane)
    balancer.apply("shop", declaration())
    until = SYSTEM.now().later(timedelta(minutes=10))
    balancer.shift("shop", "edge", "zone-b", until)
    assert not balancer.nodes()["shop", "edge"]["zone-b"].healthy
    assert Balancer(tmp_path, plane).registry() == balancer.registry()
    balancer.end_shift("shop", "edge")
    balancer.end_shift("shop", "edge")
    assert balancer.nodes()["shop", "edge"] == dict.fromkeys(ZONES, NodeHealth(True))
    assert balancer.zones("shop", "web") == ("zone-a", "zone-b")

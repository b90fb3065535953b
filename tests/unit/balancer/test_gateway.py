"""Declarations of gateway load balancers: their resources, their pools, and how they stand beside others."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.compile import compile_declaration
from pipeline.balancer.effective import EffectiveGatewayListener, effective_listeners
from pipeline.balancer.model import Action, Declaration, GatewayTargetGroup, Target
from pipeline.balancer.model.gateway.attributes import GatewayGroupAttributes
from pipeline.balancer.names.directory import Directory
from pipeline.balancer.pools import Pool, pools_by_zone
from pipeline.balancer.registry import Registry
from pipeline.balancer.registry_snapshot import dump, load
from pipeline.balancer.resources import CertificateResource, ListenerResource, LoadBalancerResource
from pipeline.balancer.wanted import plane_config
from pipeline.balancer.zonal_shift import ZonalShift
from pipeline.base.clock import SYSTEM
from pipeline.base.errors import ConfigError
from pipeline.testing.fakes.data_plane import FakePlane

GROUPS: dict[str, Any] = {"web": {"port": 80}, "firewalls": {"protocol": "GENEVE"}, "audit": {"protocol": "GENEVE"}}
FRONT: dict[str, Any] = {"scheme": "internal", "listeners": [{"port": 8000, "default_action": {"forward": "web"}}]}


def gateway(group: str = "firewalls", **settings: Any) -> dict[str, Any]:
    listener = {"default_action": {"forward": group}, "attributes": {"tcp.idle_timeout.seconds": 120}}
    return {"type": "gateway", "listeners": [listener], **settings}


def declaration(**balancers: dict[str, Any]) -> Declaration:
    found = balancers or {"inspection": gateway()}
    return Declaration.model_validate({"target_groups": GROUPS, "load_balancers": {"front": FRONT, **found}})


def test_a_declaration_is_kept_as_it_is() -> None:
    """Resources, their stored form and its reading give the declaration back."""
    declared = declaration(inspection=gateway(zones=["zone-a", "zone-b"]))
    registry = Registry().declare("shop", declared)
    registry = registry.register("shop", "firewalls", [Target(id="fw-1", address="10.0.0.1", port=6081)])
    assert registry.declaration("shop") == declared
    assert registry.declares("shop", declared)
    stored = load(dump(registry).encode())
    assert stored.declaration("shop") == declared
    assert stored.declares("shop", declared)
    (known,) = stored.registrations("shop", "firewalls")
    assert (known.check.protocol, known.check.port) == ("TCP", 80)
    assert known.is_checked(stored.group("shop", "firewalls"))


def test_a_stored_release_has_every_default() -> None:
    """A release is stored with the defaults of all keys, and read again."""
    declared = declaration()
    assert Declaration.model_validate_json(declared.model_dump_json()) == declared


def test_the_listener_of_a_gateway_has_no_place() -> None:
    """It has no address, no port and no URL, and names one group."""
    found = effective_listeners(Registry().declare("shop", declaration()))
    inspection, front = found
    assert isinstance(inspection, EffectiveGatewayListener)
    assert (inspection.urls, inspection.address, inspection.port) == ((), "", 0)
    assert inspection.group == "firewalls"
    assert inspection.groups() == {("shop", "firewalls")}
    assert inspection.listener.attributes.tcp_idle_timeout == 120
    assert front.port == 8000


def test_two_gateways_have_different_numbers() -> None:
    """Listeners without a port stay apart, also those of two owners, and keep their numbers."""
    registry = Registry().declare("shop", declaration(inspection=gateway(), second=gateway("audit")))
    other = Declaration.model_validate({"target_groups": GROUPS, "load_balancers": {"inspection": gateway()}})
    registry = registry.declare("other", other)
    numbers = {(one.owner, one.name): one.number for one in effective_listeners(registry)}
    assert len(set(numbers.values())) == len(numbers) == 4
    changed = registry.declare("shop", declaration(second=gateway("audit")))
    kept = {(one.owner, one.name): one.number for one in effective_listeners(changed)}
    assert kept == {key: number for key, number in numbers.items() if key != ("shop", "inspection")}


def test_the_wanted_state_has_the_group_and_its_settings() -> None:
    """A plane gets the settings of the group, its targets and the listener that names it."""
    registry = Registry().declare("shop", declaration())
    registry = registry.register("shop", "firewalls", [Target(id="fw-1", address="10.0.0.1", port=6081)])
    wanted = plane_config(registry)
    (listener,) = [one for one in wanted.listeners if isinstance(one, EffectiveGatewayListener)]
    group = wanted.groups[f"shop.{listener.group}"]
    assert isinstance(group.settings, GatewayTargetGroup)
    assert group.settings.deregistration_delay == timedelta(seconds=30)
    assert [target.endpoint for target in group.targets] == ["10.0.0.1:6081"]


@pytest.mark.parametrize(
    ("crosses", "pools"),
    [
        (False, {"zone-a": Pool(("zone-a",)), "zone-b": Pool(("zone-b",))}),
        (True, {"zone-a": Pool(("zone-a", "zone-b")), "zone-b": Pool(("zone-a", "zone-b"))}),
    ],
)
def test_an_endpoint_has_the_pool_of_its_zone(crosses: bool, pools: dict[str, Pool]) -> None:
    """Without cross-zone balancing, the appliances of a zone get its flows."""
    attributes = {"load_balancing.cross_zone.enabled": crosses}
    declared = declaration(inspection=gateway(zones=["zone-a", "zone-b"], attributes=attributes))
    registry = Registry().declare("shop", declared)
    listener = effective_listeners(registry)[0]
    assert pools_by_zone(listener, registry.group("shop", "firewalls")) == pools
    assert set(plane_config(registry).groups["shop.firewalls"].pools) == set(pools.values())


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        ({}, 5),
        ({"stickiness.type": "source_ip_dest_ip"}, 5),
        ({"stickiness.enabled": True}, 3),
        ({"stickiness.enabled": True, "stickiness.type": "source_ip_dest_ip"}, 2),
    ],
)
def test_stickiness_chooses_the_fields_of_a_flow(settings: dict[str, Any], fields: int) -> None:
    """A flow has 5 fields without stickiness, and 3 or 2 with it."""
    assert GatewayGroupAttributes.model_validate(settings).flow_fields == fields


def test_both_failovers_rebalance_or_none() -> None:
    """The settings of failover are equal."""
    keys = ("target_failover.on_deregistration", "target_failover.on_unhealthy")
    assert not GatewayGroupAttributes().rebalances
    assert GatewayGroupAttributes.model_validate(dict.fromkeys(keys, "rebalance")).rebalances
    for key in keys:
        with pytest.raises(ValidationError, match=r"must be the same as target_failover"):
            GatewayGroupAttributes.model_validate({key: "rebalance"})


def test_a_gateway_has_no_name() -> None:
    """The names of load balancers lead to addresses, and a gateway has none."""
    registry = Registry().declare("shop", declaration(inspection=gateway(zones=["zone-a"])))
    assert set(Directory.from_registry(registry, lambda *_: True).entries) == {"front", "front.shop"}


def test_a_zone_of_a_gateway_is_not_shifted() -> None:
    """ELB shifts the zones of load balancers with addresses only."""
    registry = Registry().declare("shop", declaration(inspection=gateway(zones=["zone-a"])))
    shift = ZonalShift(zone="zone-a", until=SYSTEM.now().later(timedelta(hours=1)))
    with pytest.raises(ConfigError, match="a gateway load balancer, whose zones cannot be shifted away"):
        registry.shift("shop", "inspection", shift)


@pytest.mark.parametrize(
    ("group", "problem"),
    [
        ("web", "a gateway load balancer cannot forward to target group web, which has protocol HTTP"),
        ("db", "a gateway load balancer cannot forward to target group db, which has protocol TCP"),
    ],
)
def test_a_gateway_forwards_to_appliances_only(group: str, problem: str) -> None:
    """Its group has protocol GENEVE."""
    groups = {**GROUPS, "db": {"protocol": "TCP", "port": 5432}}
    declared = Declaration.model_validate({"target_groups": groups, "load_balancers": {"edge": gateway(group)}})
    with pytest.raises(ConfigError, match=problem) as caught:
        Registry().declare("shop", declared)
    assert caught.value.hint == "set protocol: GENEVE on the target group"


@pytest.mark.parametrize(("kind", "protocol"), [("application", "HTTP"), ("network", "TCP")])
def test_only_a_gateway_forwards_to_appliances(kind: str, protocol: str) -> None:
    """A listener of another load balancer cannot send packets in GENEVE."""
    listener = {"port": 80, "protocol": protocol, "default_action": {"forward": "firewalls"}}
    edge = {"type": kind, "listeners": [listener]}
    declared = Declaration.model_validate({"target_groups": GROUPS, "load_balancers": {"edge": edge}})
    with pytest.raises(ConfigError, match=f"a listener of protocol {protocol} cannot forward to target group firewall"):
        Registry().declare("shop", declared)


def test_a_gateway_has_one_listener() -> None:
    """A second one of another maker is refused."""
    registry = Registry().declare("shop", declaration())
    (known,) = [one for one in registry.listeners.values() if one.settings.protocol == "GENEVE"]
    second = known.model_copy(update={"id": "0" * 16, "made_by": "api", "revision": 0})
    with pytest.raises(ConfigError, match="load balancer inspection of shop is a gateway and must have one listener"):
        registry.put(second)


def test_a_listener_of_another_kind_is_refused() -> None:
    """Resources that are made one by one fit together too."""
    compiled = compile_declaration("shop", declaration())
    front = next(one for one in compiled.load_balancers.values() if one.name == "front")
    (packets,) = [one for one in compiled.listeners.values() if one.settings.protocol == "GENEVE"]
    moved = packets.model_copy(update={"load_balancer": front.id})
    with pytest.raises(ConfigError, match="load balancer front of shop has type application and a listener of proto"):
        Registry().put(*(one for one in compiled.all() if one is not packets), moved)


def test_the_default_action_names_the_group_by_id() -> None:
    """A listener is a resource of its own, without certificates and rules."""
    compiled = compile_declaration("shop", declaration())
    (made,) = [one for one in compiled.listeners.values() if one.settings.protocol == "GENEVE"]
    assert isinstance(made, ListenerResource)
    names = compiled.group_names()
    assert isinstance(made.settings.default_action, Action)
    assert [names[group.target_group] for group in made.settings.default_action.groups()] == ["firewalls"]
    assert made.label == "listener of a gateway load balancer of shop"
    assert not [one for one in compiled.all() if isinstance(one, CertificateResource)]
    assert isinstance(compiled.load_balancers[made.load_balancer], LoadBalancerResource)


def test_protection_against_deletion(tmp_path: Path) -> None:
    """A protected gateway stays."""
    balancer = Balancer(tmp_path, FakePlane())
    balancer.apply("shop", declaration(inspection=gateway(attributes={"deletion_protection.enabled": True})))
    with pytest.raises(ConfigError, match="load balancer inspection of shop is protected against deletion"):
        balancer.check_deletion_protection("shop", declaration(second=gateway()))

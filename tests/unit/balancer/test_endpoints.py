"""Endpoint services and endpoints in the registry: declarations, connections, and what the plane is to carry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.balancer.effective_endpoints import effective_endpoints, find_endpoint
from pipeline.balancer.endpoint_resources import EndpointResource, EndpointServiceResource, EndpointState
from pipeline.balancer.model import Declaration, EndpointsAlone, SharedGroup, Undeclared
from pipeline.balancer.registry import Registry
from pipeline.balancer.registry_change import RegistryChange
from pipeline.balancer.registry_file import RegistryFile
from pipeline.balancer.registry_snapshot import dump, load
from pipeline.balancer.wanted import plane_config
from pipeline.balancer.wanted_endpoint import WantedNetwork
from pipeline.base.errors import ConfigError
from tests.support.endpoints import consumer, provider

PENDING, AVAILABLE, REJECTED, FAILED = (
    EndpointState.PENDING_ACCEPTANCE,
    EndpointState.AVAILABLE,
    EndpointState.REJECTED,
    EndpointState.FAILED,
)


def both(*, required: bool = False, **endpoint: Any) -> Registry:
    """Return a registry with both pipelines."""
    return Registry().declare("firewall", provider(required=required)).declare("shop", consumer(**endpoint))


def only(registry: Registry) -> EndpointResource:
    """Return the only endpoint."""
    (endpoint,) = registry.endpoints.values()
    return endpoint


def found(registry: Registry) -> tuple[EndpointState, str]:
    """Return the state of the only endpoint, and why it carries no packets."""
    (effective,) = effective_endpoints(registry)
    return effective.state, effective.reason


def test_an_open_service_has_its_endpoint_at_once() -> None:
    """The plane is to carry the packets of its networks through the load balancer."""
    registry = both()
    assert found(registry) == (AVAILABLE, "")
    (wanted,) = plane_config(registry).endpoints
    assert (wanted.owner, wanted.name, wanted.load_balancer) == ("shop", "office", ("firewall", "inspection"))
    assert wanted.id == only(registry).endpoint_id
    assert len(wanted.id) == len("vpce-") + 17
    assert int(wanted.id.removeprefix("vpce-"), 16) == wanted.number < 2**64
    assert wanted.networks == (
        WantedNetwork("clients", "namespace", "lab", ("198.18.0.0/24",)),
        WantedNetwork("apps", "docker_network", "inspected"),
    )


def test_declarations_come_back_as_they_were() -> None:
    """The service names load balancers, and the endpoint names the service."""
    registry = both()
    assert registry.declaration("firewall") == provider()
    assert registry.declaration("shop") == consumer()
    assert registry.declares("shop", consumer())
    assert registry.declare("shop", consumer()) is registry


def test_the_order_of_deployments_does_not_matter() -> None:
    """An endpoint that is deployed before its service waits for it, and says so."""
    early = Registry().declare("shop", consumer())
    assert found(early) == (FAILED, "there is no endpoint service inspection of firewall")
    assert plane_config(early).endpoints == ()
    assert found(early.declare("firewall", provider())) == (AVAILABLE, "")


def test_a_service_that_requires_acceptance_decides() -> None:
    """The endpoint carries packets only after it is accepted, and no more after it is rejected."""
    registry = both(required=True)
    assert found(registry) == (PENDING, "the owner of its service has not accepted it")
    assert plane_config(registry).endpoints == ()
    accepted = registry.decide(only(registry).id, AVAILABLE)
    assert found(accepted) == (AVAILABLE, "")
    assert len(plane_config(accepted).endpoints) == 1
    assert accepted.decide(only(registry).id, AVAILABLE) is accepted
    rejected = accepted.decide(only(registry).id, REJECTED)
    assert found(rejected) == (REJECTED, "the owner of its service has rejected it")
    assert plane_config(rejected).endpoints == ()


def test_a_decision_survives_deployments_of_both_pipelines() -> None:
    """Also if the requirement changes, which applies to later endpoints."""
    registry = both(required=True)
    accepted = registry.decide(only(registry).id, AVAILABLE)
    again = accepted.declare("firewall", provider(required=True, zones=["zone-a"]))
    again = again.declare("shop", consumer(zone="zone-a"))
    assert found(again) == (AVAILABLE, "")
    assert only(again).connection == only(accepted).connection
    assert only(again).revision == only(accepted).revision + 1
    opened = registry.declare("firewall", provider(required=False))
    assert found(opened)[0] is PENDING


def test_a_decision_ends_with_the_service_or_the_endpoint() -> None:
    """A new service of the same name decides anew, and so does one for a new endpoint."""
    registry = both(required=True)
    accepted = registry.decide(only(registry).id, AVAILABLE)
    gone = accepted.withdraw("firewall")
    assert found(gone)[0] is FAILED
    assert found(gone.declare("firewall", provider(required=True)))[0] is PENDING
    assert found(accepted.withdraw("shop").declare("shop", consumer()))[0] is PENDING
    other = provider(required=True).model_copy(
        update={"endpoint_services": {"other": provider(required=True).endpoint_services["inspection"]}}
    )
    moved = accepted.declare("firewall", other).declare("shop", consumer("firewall/other"))
    assert found(moved)[0] is PENDING


def test_nothing_is_decided_without_a_service() -> None:
    """The error says what the endpoint waits for."""
    early = Registry().declare("shop", consumer())
    with pytest.raises(ConfigError, match="endpoint office of shop waits for endpoint service inspection of firewall"):
        early.decide(only(early).id, AVAILABLE)
    with pytest.raises(ConfigError, match="does not exist any more"):
        early.decide("0" * 16, AVAILABLE)


def test_the_zone_chooses_the_load_balancer() -> None:
    """The first one that is enabled in the endpoint's zone, else the first one."""
    offers = provider(offers=("second", "inspection"), zones=["zone-a", "zone-b"])
    registry = Registry().declare("firewall", offers)
    for zone, name in (("zone-b", "inspection"), ("zone-c", "second"), (None, "second")):
        (wanted,) = plane_config(registry.declare("shop", consumer(zone=zone))).endpoints
        assert wanted.load_balancer == ("firewall", name)
    limited = Registry().declare("firewall", provider(zones=["zone-a"])).declare("shop", consumer(zone="zone-c"))
    assert found(limited) == (AVAILABLE, "load balancer inspection of firewall is not enabled in zone-c")
    assert plane_config(limited).endpoints == ()


def test_a_service_needs_gateway_load_balancers() -> None:
    """Another type is refused, and so is a name that is not declared."""
    wrong = consumer().model_copy(update={"endpoint_services": {"s": provider().endpoint_services["inspection"]}})
    with pytest.raises(ConfigError, match="load balancer inspection, which endpoint service s of shop offers,"):
        Registry().declare("shop", wrong)
    offered = provider().endpoint_services["inspection"].model_copy(update={"load_balancers": ("edge",)})
    wrong = consumer().model_copy(update={"endpoint_services": {"s": offered}})
    with pytest.raises(ConfigError, match="offers load balancer edge, which is of type application"):
        Registry().declare("shop", wrong)


def test_a_load_balancer_of_a_service_cannot_be_dropped() -> None:
    """The service is to be removed first."""
    registry = both()
    (balancer,) = (one.id for one in registry.load_balancers.values() if one.name == "inspection")
    listeners = [one.id for one in registry.listeners.values() if one.load_balancer == balancer]
    with pytest.raises(ConfigError, match="endpoint service inspection of firewall needs"):
        registry.drop(balancer, *listeners)
    assert "has no listener" in found(registry.drop(*listeners))[1]


def test_a_network_has_one_endpoint() -> None:
    """Two endpoints of one namespace are refused, and two of this machine's routes are not."""
    with pytest.raises(ConfigError, match="endpoint office of other attaches namespace lab, which is attached to"):
        both().declare("other", consumer(port=81))
    networks = {"machine": {"host": True, "addresses": ["10.0.0.0/8"]}}
    registry = both(networks=networks).declare("other", consumer(port=81, networks=networks))
    assert len(plane_config(registry).endpoints) == 2


def test_the_file_has_connections(tmp_path: Path) -> None:
    """They are read again as they were, from the whole file and from its changes."""
    path = tmp_path / "registry.json"
    file, registry = RegistryFile(path), both(required=True)
    file.write(registry)
    accepted = registry.decide(only(registry).id, AVAILABLE)
    file.write(accepted)
    assert RegistryFile(path).read().endpoints == accepted.endpoints
    change = RegistryChange.between(registry, accepted)
    assert change is not None
    parsed = RegistryChange.model_validate_json(change.model_dump_json(exclude_unset=True))
    assert parsed.applied_to(registry).endpoints == accepted.endpoints
    assert load(dump(accepted).encode()).endpoint_services == accepted.endpoint_services


def test_a_registry_without_endpoints_is_stored_as_before() -> None:
    """An earlier version reads it, also if there were some."""
    none = both().withdraw("shop").withdraw("firewall")
    for registry in (Registry(), none):
        assert "endpoint" not in dump(registry)


@pytest.mark.parametrize("kind", [Declaration, SharedGroup, Undeclared])
def test_a_declaration_without_endpoints_is_stored_as_before(kind: type[Declaration]) -> None:
    """Stored releases have no new key."""
    given: dict[str, Any] = {"group_owner": "shop"} if kind is SharedGroup else {}
    if kind is Declaration:
        given = consumer().model_dump(mode="json", exclude={"endpoints"})
    elif kind is SharedGroup:
        given["target_groups"] = {"web": {"port": 80}}
    assert not {"endpoints", "endpoint_services"} & kind.model_validate(given).model_dump(mode="json").keys()
    stored = provider().model_dump(mode="json")
    assert Declaration.model_validate(stored) == provider()


def test_ids_are_those_of_ec2() -> None:
    """An id is its prefix and 17 hex digits."""
    registry = both()
    (service,) = registry.endpoint_services.values()
    assert isinstance(service, EndpointServiceResource)
    assert service.service_id == f"vpce-svc-0{service.id}"
    assert only(registry).endpoint_id == f"vpce-0{only(registry).id}"


def test_an_endpoint_is_found_by_its_names() -> None:
    """Its id, its name, and its name with the owner. An ambiguous name is refused with the names to use."""
    registry = both()
    for name in (only(registry).endpoint_id, "office", "office.shop"):
        assert find_endpoint(registry, name).endpoint is only(registry)
    with pytest.raises(ConfigError, match=r"endpoint offices is not declared\ndid you mean office\.shop"):
        find_endpoint(registry, "offices")
    networks = {"machine": {"host": True, "addresses": ["10.0.0.0/8"]}}
    several = registry.declare("other", consumer(port=81, networks=networks))
    with pytest.raises(ConfigError, match=r"several endpoints are named office\nuse office\.other or office\.shop"):
        find_endpoint(several, "office")


def test_endpoints_need_no_load_balancer_of_their_owner() -> None:
    """A declaration of endpoints alone comes back and goes away. Its packets go through another pipeline's service."""
    alone = EndpointsAlone(endpoints=consumer().endpoints)
    registry = Registry().declare("firewall", provider()).declare("shop", alone)
    assert found(registry) == (AVAILABLE, "")
    assert [each.owner for each in plane_config(registry).endpoints] == ["shop"]
    assert registry.declaration("shop") == alone
    assert registry.declares("shop", alone)
    assert not registry.withdraw("shop").endpoints

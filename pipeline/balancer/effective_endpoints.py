"""Effective endpoints: each endpoint with its service, its load balancer, and the state of its connection. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.balancer.endpoint_resources import EndpointResource, EndpointServiceResource, EndpointState
from pipeline.balancer.model.gateway.attached_network import AttachedNetwork
from pipeline.balancer.resources import LoadBalancerResource, Resources
from pipeline.balancer.wanted_endpoint import WantedEndpoint, WantedNetwork
from pipeline.base.errors import ConfigError
from pipeline.base.suggestion import not_declared

_REASONS = {
    EndpointState.PENDING_ACCEPTANCE: "the owner of its service has not accepted it",
    EndpointState.REJECTED: "the owner of its service has rejected it",
}


@dataclass(frozen=True)
class EffectiveEndpoint:
    """An endpoint as it is. `reason` says why it carries no packets, and is empty if it may carry some."""

    endpoint: EndpointResource
    service: EndpointServiceResource | None
    load_balancer: LoadBalancerResource | None
    state: EndpointState
    reason: str

    @property
    def label(self) -> str:
        """Its name for commands: NAME.OWNER."""
        return f"{self.endpoint.name}.{self.endpoint.owner}"

    def wanted(self) -> WantedEndpoint | None:
        """Return what the data plane has to carry, or None."""
        found, balancer = self.endpoint, self.load_balancer
        if self.reason or balancer is None:
            return None
        networks = tuple(_wanted_network(name, each) for name, each in found.settings.networks.items())
        place = (balancer.owner, balancer.name)
        return WantedEndpoint(found.endpoint_id, found.owner, found.name, found.settings.zone, place, networks)


def effective_endpoints(resources: Resources) -> tuple[EffectiveEndpoint, ...]:
    """Return all endpoints in the order of their owners' names and their own."""
    services = {(service.owner, service.name): service for service in resources.endpoint_services.values()}
    found = sorted(resources.endpoints.values(), key=lambda endpoint: (endpoint.owner, endpoint.name))
    return tuple(_effective(resources, endpoint, services.get(endpoint.service)) for endpoint in found)


def find_endpoint(resources: Resources, name: str) -> EffectiveEndpoint:
    """Return an endpoint by its id, by NAME or by NAME.OWNER. Raises `ConfigError` for an unknown or ambiguous name."""
    known = effective_endpoints(resources)
    found = [each for each in known if name in (each.endpoint.endpoint_id, each.endpoint.name, each.label)]
    if not found:
        raise not_declared(f"endpoint {name}", (each.label for each in known), name)
    if len(found) > 1:
        labels = " or ".join(each.label for each in found)
        raise ConfigError(f"several endpoints are named {name}", hint=f"use {labels}")
    return found[0]


def wanted_endpoints(resources: Resources) -> tuple[WantedEndpoint, ...]:
    """Return the endpoints that may carry packets: `available`, and with a listener of a gateway load balancer."""
    return tuple(wanted for each in effective_endpoints(resources) if (wanted := each.wanted()))


def _effective(
    resources: Resources, endpoint: EndpointResource, service: EndpointServiceResource | None
) -> EffectiveEndpoint:
    connection = endpoint.connection
    if service is None or connection is None:
        owner, name = endpoint.service
        reason = f"there is no endpoint service {name} of {owner}"
        return EffectiveEndpoint(endpoint, None, None, EndpointState.FAILED, reason)
    balancer = _load_balancer(resources, endpoint, service)
    reason = _REASONS.get(connection.state) or _missing(resources, endpoint, balancer)
    return EffectiveEndpoint(endpoint, service, balancer, connection.state, reason)


def _load_balancer(
    resources: Resources, endpoint: EndpointResource, service: EndpointServiceResource
) -> LoadBalancerResource:
    """Return the load balancer of a service that is enabled in the endpoint's zone, or else the first one."""
    offered = [resources.load_balancers[id_] for id_ in service.settings.load_balancers]
    zone = endpoint.settings.zone
    return next((each for each in offered if zone in (each.settings.zones or ())), offered[0])


def _missing(resources: Resources, endpoint: EndpointResource, balancer: LoadBalancerResource) -> str:
    zone, zones = endpoint.settings.zone, balancer.settings.zones
    if zone and zones and zone not in zones:
        return f"{balancer.label} is not enabled in {zone}"
    if not any(listener.load_balancer == balancer.id for listener in resources.listeners.values()):
        return f"{balancer.label} has no listener"
    return "" if endpoint.settings.networks else "it has no network"


def _wanted_network(name: str, network: AttachedNetwork) -> WantedNetwork:
    addresses, routes = (tuple(map(str, each)) for each in (network.addresses, network.routes))
    return WantedNetwork(name, network.kind, network.place, addresses, routes)

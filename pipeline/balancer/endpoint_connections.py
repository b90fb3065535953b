"""Connections of endpoints to endpoint services, and what may not be combined. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.balancer.endpoint_resources import Connection, EndpointResource, EndpointServiceResource, EndpointState
from pipeline.balancer.resources import Resources
from pipeline.base.clock import Stamp
from pipeline.base.errors import ConfigError


def changed_connections(resources: Resources, now: Stamp) -> Iterator[EndpointResource]:
    """Yield each endpoint whose connection begins or ends, with its new connection.

    A connection begins when an endpoint and its service first meet. A later change of `acceptance_required` leaves it.
    It ends with the service, also if one of the same name comes later.
    """
    services = {(service.owner, service.name): service for service in resources.endpoint_services.values()}
    for endpoint in resources.endpoints.values():
        service, known = services.get(endpoint.service), endpoint.connection
        if service is None and known is not None:
            yield endpoint.with_connection(None)
        elif service is not None and (known is None or known.service != service.id):
            yield endpoint.with_connection(_new(service, now))


def check_endpoints(resources: Resources) -> None:
    """Raise `ConfigError` for a service of a load balancer of another type, and for a network in two endpoints."""
    for service in resources.endpoint_services.values():
        for id_ in service.settings.load_balancers:
            balancer = resources.load_balancers[id_]
            if (type_ := balancer.settings.type) != "gateway":
                raise ConfigError(
                    f"{service.label} offers load balancer {balancer.name}, which is of type {type_}",
                    hint="name a load balancer of type: gateway",
                )
    taken: dict[tuple[str, str], EndpointResource] = {}
    for endpoint in resources.endpoints.values():
        for network in endpoint.settings.networks.values():
            # Several endpoints may have routes of this machine, to different addresses.
            other = endpoint if network.kind == "host" else taken.setdefault((network.kind, network.place), endpoint)
            if other is not endpoint:
                kind = "namespace" if network.kind == "namespace" else "network of Docker"
                raise ConfigError(
                    f"{endpoint.label} attaches {kind} {network.place}, which is attached to {other.label}",
                    hint="a network has one endpoint; detach it from the other one first",
                )


def decided(resources: Resources, endpoint: str, state: EndpointState, now: Stamp) -> EndpointResource:
    """Return an endpoint, by its resource's id, as the owner of its service has decided.

    Raises `ConfigError` for an endpoint that is unknown, or connected to no service.
    """
    found = resources.endpoints.get(endpoint)
    if found is None:
        raise ConfigError("the endpoint does not exist any more")
    if found.connection is None:
        owner, name = found.service
        raise ConfigError(f"{found.label} waits for endpoint service {name} of {owner}, which does not exist")
    if found.connection.state is state:
        return found
    return found.with_connection(found.connection.model_copy(update={"state": state, "since": now}))


def _new(service: EndpointServiceResource, now: Stamp) -> Connection:
    is_open = not service.settings.acceptance_required
    state = EndpointState.AVAILABLE if is_open else EndpointState.PENDING_ACCEPTANCE
    return Connection(service=service.id, state=state, since=now)

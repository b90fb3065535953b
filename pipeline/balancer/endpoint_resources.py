"""Endpoint services and endpoints as resources, and the connections between them."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pipeline.balancer.balancer_resource import BalancerResource, Id
from pipeline.balancer.model import Model, Name
from pipeline.balancer.model.gateway.endpoint_service import EndpointService
from pipeline.balancer.model.gateway.gateway_endpoint import GatewayEndpointSettings
from pipeline.base.schema import StoredStamp


class EndpointState(StrEnum):
    """The state of an endpoint's connection to its service, in the words of EC2."""

    PENDING_ACCEPTANCE = "pendingAcceptance"
    AVAILABLE = "available"
    REJECTED = "rejected"
    FAILED = "failed"  #: There is no such service.


class Connection(Model):
    """The connection of an endpoint to a service, by the service's id. `since`: the time of its state."""

    service: Id
    state: EndpointState
    since: StoredStamp


class EndpointServiceResource(BalancerResource):
    """An endpoint service. Its settings name load balancers by id."""

    kind: ClassVar[str] = "endpoint service"
    field: ClassVar[str] = "endpoint_services"

    name: Name
    settings: EndpointService

    @property
    def service_id(self) -> str:
        """Its id in EC2: `vpce-svc-` and 17 hex digits."""
        return f"vpce-svc-0{self.id}"

    @property
    def key(self) -> tuple[object, ...]:
        return (self.name,)

    @property
    def label(self) -> str:
        return f"endpoint service {self.name} of {self.owner}"

    def requires(self) -> frozenset[str]:
        return frozenset(self.settings.load_balancers)


class EndpointResource(BalancerResource):
    """An endpoint. The registry sets `connection`, and a declaration leaves it.

    It requires no resource, because its service may be another owner's, who may remove it and declare it again.
    """

    kind: ClassVar[str] = "endpoint"
    field: ClassVar[str] = "endpoints"

    name: Name
    settings: GatewayEndpointSettings
    connection: Connection | None = None

    @property
    def endpoint_id(self) -> str:
        """Its id in EC2: `vpce-` and 17 hex digits."""
        return f"vpce-0{self.id}"

    @property
    def service(self) -> tuple[str, str]:
        """The owner and the name of its service."""
        return self.settings.service_of(self.owner)

    def with_connection(self, connection: Connection | None) -> EndpointResource:
        """Return the endpoint with another connection."""
        return self if connection == self.connection else self.model_copy(update={"connection": connection})

    def keeping(self, former: EndpointResource | None) -> EndpointResource:
        """Return the endpoint with the connection that it had before, if its service is the same."""
        is_same = former is not None and former.service == self.service
        return self.with_connection(former.connection if former and is_same else None)

    def bare(self) -> EndpointResource:
        return super().bare().with_connection(None)

    @property
    def key(self) -> tuple[object, ...]:
        return (self.name,)

    @property
    def label(self) -> str:
        return f"endpoint {self.name} of {self.owner}"

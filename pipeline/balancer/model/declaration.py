"""The declaration of one owner."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from pipeline.balancer.model.gateway.endpoint_service import EndpointService
from pipeline.balancer.model.gateway.gateway_endpoint import GatewayEndpoint
from pipeline.balancer.model.variants import AnyListener, AnyLoadBalancer, AnyTargetGroup
from pipeline.base.schema import Model, Name

# Left out unless set, as earlier versions store a declaration.
_ADDED = ("endpoint_services", "endpoints")


def _endpoints_alone(schema: dict[str, Any]) -> None:
    """Say in the JSON schema that endpoints need no load balancer."""
    if required := schema.pop("required", None):
        schema["anyOf"] = [{"required": required}, {"required": ["endpoints"], "maxProperties": 1}]


class Declaration(Model):
    """All target groups, load balancers, endpoint services and endpoints of one owner."""

    model_config = ConfigDict(json_schema_extra=_endpoints_alone)

    target_groups: dict[Name, AnyTargetGroup] = Field(min_length=1, description="Target groups, by name.")
    load_balancers: dict[Name, AnyLoadBalancer] = Field(min_length=1, description="Load balancers, by name.")
    endpoint_services: dict[Name, EndpointService] = Field(
        {}, description="Endpoint services of gateway load balancers, by name."
    )
    endpoints: dict[Name, GatewayEndpoint] = Field({}, description="Endpoints of networks, by name.")

    def listeners(self) -> Iterator[tuple[str, AnyLoadBalancer, AnyListener]]:
        """Yield every listener, with its load balancer and the load balancer's name."""
        for name, balancer in sorted(self.load_balancers.items()):
            for listener in balancer.listeners:
                yield name, balancer, listener

    def zones_of(self, group: str) -> tuple[str, ...]:
        """Return the zones of the load balancers that may forward to a target group."""
        users = (balancer for _, balancer, listener in self.listeners() if group in listener.groups())
        return tuple(dict.fromkeys(zone for balancer in users for zone in balancer.zones or ()))

    def uses(self, group: str) -> bool:
        """Return whether some listener may forward to a target group."""
        return any(group in listener.groups() for _, _, listener in self.listeners())

    @model_serializer(mode="wrap")
    def _stored(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        return {key: value for key, value in data.items() if value or key not in _ADDED}

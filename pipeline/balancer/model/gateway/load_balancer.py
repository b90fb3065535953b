"""Gateway load balancers: they send the packets of networks through appliances."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from pipeline.balancer.model.endpoint import HasUrl
from pipeline.balancer.model.gateway.attributes import GatewayLoadBalancerAttributes
from pipeline.balancer.model.gateway.listener import GatewayListener
from pipeline.balancer.model.gateway.refused_keys import refuse_keys
from pipeline.base.schema import Model, Name

_NO_ADDRESS = "a gateway load balancer has no address; networks reach it by the endpoints of its endpoint service"
_REFUSED = {"scheme": _NO_ADDRESS, "address": _NO_ADDRESS}


def _names_only(value: object) -> object:
    if isinstance(value, dict):
        names = ", ".join(map(str, value))
        raise ValueError(f"must be a list of names, got a mapping; write [{names}], because {_NO_ADDRESS}")
    return value


def _single(listeners: tuple[GatewayListener, ...]) -> tuple[GatewayListener, ...]:
    if len(listeners) > 1:
        raise ValueError(f"must have one item, got {len(listeners)}; one listener takes all packets")
    return listeners


def _each_once(zones: tuple[str, ...]) -> tuple[str, ...]:
    if twice := next((zone for zone in zones if zones.count(zone) > 1), None):
        raise ValueError(f"must name each zone once, got {twice} twice")
    return zones


class _GatewayEntryPoint(Model):
    """The type and the zones of a gateway load balancer."""

    type: Literal["gateway"] = Field(description="A gateway load balancer (GWLB).")
    zones: (
        Annotated[tuple[Name, ...], Field(min_length=1), BeforeValidator(_names_only), AfterValidator(_each_once)]
        | None
    ) = Field(
        None,
        description="The names of the zones in which the load balancer is enabled. An endpoint in one of them sends "
        "its flows to the appliances of this zone. Without zones, the zones of targets have no effect.",
    )

    @model_validator(mode="before")
    @classmethod
    def _says_why(cls, data: Any) -> Any:
        refuse_keys(data, _REFUSED)
        return data

    @property
    def bind_addresses(self) -> tuple[str, ...]:
        """No addresses."""
        return ()

    def urls(self, listener: HasUrl) -> tuple[str, ...]:
        """Return the URLs of a listener, which has none: no client connects to it."""
        return (listener.url,) if listener.url else ()


class GatewayLoadBalancerSettings(_GatewayEntryPoint):
    """A gateway load balancer without its listener, which is a separate resource."""

    attributes: GatewayLoadBalancerAttributes = GatewayLoadBalancerAttributes()


class GatewayLoadBalancer(_GatewayEntryPoint):
    """A gateway load balancer with its listener. It sends each flow of packets through one appliance."""

    listeners: Annotated[tuple[GatewayListener, ...], AfterValidator(_single)] = Field(
        min_length=1, description="One listener, for the packets of all ports and protocols."
    )
    attributes: GatewayLoadBalancerAttributes = Field(
        GatewayLoadBalancerAttributes(), description="Settings by ELB's keys."
    )

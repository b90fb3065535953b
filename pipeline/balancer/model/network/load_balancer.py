"""Network load balancers: entry points with listeners for connections."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.balancer.model.endpoint import EntryPoint
from pipeline.balancer.model.network.attributes import NetworkLoadBalancerAttributes
from pipeline.balancer.model.network.kernel_needs import is_near
from pipeline.balancer.model.network.listener import NetworkListener
from pipeline.balancer.model.protocol import transports
from pipeline.base.errors import FieldError


class _NetworkEntryPoint(EntryPoint):
    """The type and the address of a network load balancer."""

    type: Literal["network"] = Field(description="A network load balancer (NLB).")


class NetworkLoadBalancerSettings(_NetworkEntryPoint):
    """A network load balancer without its listeners, which are separate resources."""

    attributes: NetworkLoadBalancerAttributes = NetworkLoadBalancerAttributes()


class NetworkLoadBalancer(_NetworkEntryPoint):
    """A network load balancer with its listeners. It forwards connections, not requests."""

    listeners: tuple[NetworkListener, ...] = Field(
        min_length=1, description="The ports on which it accepts connections."
    )
    attributes: NetworkLoadBalancerAttributes = Field(
        NetworkLoadBalancerAttributes(), description="Settings by ELB's keys."
    )

    @model_validator(mode="after")
    def _udp_is_forwarded(self) -> Self:
        for listener in self.listeners:
            near = next(filter(is_near, self.bind_addresses), None)
            if "udp" in transports(listener.protocol) and near:
                raise FieldError(
                    "listeners",
                    f"must not have protocol {listener.protocol} at {near.strip('[]')}, whose packets the "
                    "kernel does not forward; set address to one of the machine's own, or scheme: internet-facing",
                )
        return self

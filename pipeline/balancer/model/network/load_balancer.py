"""Network load balancers: entry points with listeners for connections."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.balancer.model.endpoint import EntryPoint
from pipeline.balancer.model.network.attributes import NetworkLoadBalancerAttributes
from pipeline.balancer.model.network.listener import NetworkListener


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

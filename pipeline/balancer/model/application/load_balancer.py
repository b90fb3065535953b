"""Application load balancers: entry points with listeners."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.balancer.model.application.attributes import LoadBalancerAttributes
from pipeline.balancer.model.application.listener import Listener
from pipeline.balancer.model.endpoint import EntryPoint


class _ApplicationEntryPoint(EntryPoint):
    """The type and the address of an application load balancer."""

    type: Literal["application"] = Field("application", description="An application load balancer (ALB).")


class LoadBalancerSettings(_ApplicationEntryPoint):
    """A load balancer without its listeners, which are separate resources."""

    attributes: LoadBalancerAttributes = LoadBalancerAttributes()


class LoadBalancer(_ApplicationEntryPoint):
    """An entry point with its listeners."""

    listeners: tuple[Listener, ...] = Field(min_length=1, description="The ports on which it accepts requests.")
    attributes: LoadBalancerAttributes = Field(LoadBalancerAttributes(), description="Settings by ELB's keys.")

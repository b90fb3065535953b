"""The declaration of an owner that has endpoints, and no load balancer."""

from __future__ import annotations

from pydantic import Field

from pipeline.balancer.model.declaration import Declaration
from pipeline.balancer.model.gateway.gateway_endpoint import GatewayEndpoint
from pipeline.balancer.model.variants import AnyLoadBalancer, AnyTargetGroup
from pipeline.base.schema import Name


class EndpointsAlone(Declaration):
    """Endpoints of other pipelines' services, by an owner without target groups and load balancers."""

    target_groups: dict[Name, AnyTargetGroup] = Field({}, max_length=0)
    load_balancers: dict[Name, AnyLoadBalancer] = Field({}, max_length=0)
    endpoints: dict[Name, GatewayEndpoint] = Field(min_length=1)

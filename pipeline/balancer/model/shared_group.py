"""A target group of another owner, in which a service registers its targets, or none at all."""

from __future__ import annotations

from pydantic import Field

from pipeline.balancer.model.declaration import Declaration
from pipeline.balancer.model.variants import AnyLoadBalancer
from pipeline.base.schema import Name


class SharedGroup(Declaration):
    """Stands in for a declaration where the target group exists already, such as one that a stack has made.

    Nothing is declared. `target_groups` has the one group by its name, with the port of the service's containers. Its
    health check and its delay are those of the real group, whatever is written here.

    Without a `group_owner` there is no real group either: the service is behind no load balancer.

    `forced` counts the deployments that replace all containers although nothing else has changed.
    """

    group_owner: Name | None
    forced: int = 0
    load_balancers: dict[Name, AnyLoadBalancer] = Field({}, max_length=0)

"""The declaration of one owner."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from pipeline.balancer.model.variants import AnyListener, AnyLoadBalancer, AnyTargetGroup
from pipeline.base.schema import Model, Name


class Declaration(Model):
    """All target groups and load balancers of one owner."""

    target_groups: dict[Name, AnyTargetGroup] = Field(min_length=1, description="Target groups, by name.")
    load_balancers: dict[Name, AnyLoadBalancer] = Field(min_length=1, description="Load balancers, by name.")

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

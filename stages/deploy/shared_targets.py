"""The targets of one service in a target group that belongs to another owner."""

from __future__ import annotations

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import Target, TargetHealth


class SharedTargets:
    """Implements `Targets` on a group of another owner, whoever calls.

    Only targets whose names begin with `prefix` belong to the service: the owner and other services may register more.
    A group that was deleted has no targets. Safe to use from any thread.
    """

    def __init__(self, balancer: Balancer, owner: str, prefix: str) -> None:
        self._balancer = balancer
        self._owner = owner
        self._prefix = prefix

    def target_health(self, _service: str, group: str) -> tuple[TargetHealth, ...]:
        """Return the health of each target of the service."""
        return self._own(self._balancer.target_health(self._owner, group))

    def reconciled_health(self, _service: str, group: str) -> tuple[TargetHealth, ...]:
        """Admit the targets of the group that have passed a check, and return the health of the service's."""
        return self._own(self._balancer.reconciled_health(self._owner, group))

    def zones(self, _service: str, group: str) -> tuple[str, ...]:
        """Return the zones that the load balancers of the group are enabled in."""
        return self._balancer.zones(self._owner, group)

    def register(self, _service: str, group: str, *targets: Target) -> None:
        """Add targets."""
        self._balancer.register(self._owner, group, *targets)

    def deregister(self, _service: str, group: str, target_id: str) -> None:
        """Stop new requests to a target."""
        if self._exists(group):
            self._balancer.deregister(self._owner, group, target_id)

    def abort_connections(self, _service: str, group: str, target_id: str) -> None:
        """Close the open requests of a target."""
        if self._exists(group):
            self._balancer.abort_connections(self._owner, group, target_id)

    def remove_target(self, _service: str, group: str, target_id: str) -> None:
        """Remove a target."""
        if self._exists(group):
            self._balancer.remove_target(self._owner, group, target_id)

    def _own(self, found: tuple[TargetHealth, ...]) -> tuple[TargetHealth, ...]:
        return tuple(health for health in found if health.target.id.startswith(self._prefix))

    def _exists(self, group: str) -> bool:
        return self._balancer.registry().has_group(self._owner, group)

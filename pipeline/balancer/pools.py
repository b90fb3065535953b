"""Pools: the targets of a group to which the nodes of a load balancer send traffic. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipeline.balancer.effective import EffectiveListener, effective_listeners
from pipeline.balancer.model import TargetGroup
from pipeline.balancer.resources import Resources
from pipeline.balancer.targets import Registration


@dataclass(frozen=True)
class Pool:
    """The targets in `zones` and those without a zone, or all targets if `zones` is None.

    `away` is the zone among them that is shifted away. Its targets get traffic only if too few others are healthy.
    """

    zones: tuple[str, ...] | None = None
    away: str | None = None

    def has(self, zone: str | None) -> bool:
        """Return whether targets of a zone may get traffic, if only because all targets do."""
        return self.zones is None or zone is None or zone in self.zones

    def prefers(self, zone: str | None) -> bool:
        """Return whether healthy targets of a zone get traffic."""
        return self.has(zone) and (zone is None or zone != self.away)


EVERY_TARGET = Pool()


def crosses_zones(effective: EffectiveListener, group: TargetGroup) -> bool:
    """Return whether each node of a listener sends traffic to the targets of all zones of its load balancer."""
    return group.attributes.crosses_zones(effective.balancer.attributes.cross_zone)


def pools_by_zone(effective: EffectiveListener, group: TargetGroup) -> Mapping[str, Pool]:
    """Return the pool of the node in each zone. Empty if the load balancer has no zones: its pool is every target."""
    zones = effective.balancer.zones or {}
    if crosses_zones(effective, group):
        return dict.fromkeys(zones, Pool(tuple(sorted(zones)), effective.away))
    return {zone: Pool((zone,)) for zone in zones}


def pools_of(resources: Resources, owner: str, name: str, group: TargetGroup) -> tuple[Pool, ...]:
    """Return the pools of a target group, each once: those that nodes use, and during a shift those used otherwise.

    An unused group has the pool of every target.
    """
    # Most balancers have no zones, and a listener may have a thousand rules.
    if not any(balancer.settings.zones for balancer in resources.load_balancers.values()):
        return (EVERY_TARGET,)
    users = (effective for effective in effective_listeners(resources) if (owner, name) in effective.groups())
    found = dict.fromkeys(pool for effective in users for pool in _pools(effective, group))
    return tuple(found) or (EVERY_TARGET,)


def zones_of(resources: Resources, owner: str, name: str) -> tuple[str, ...]:
    """Return the zones in which the load balancers that forward to a target group are enabled, as declared."""
    users = (effective for effective in effective_listeners(resources) if (owner, name) in effective.groups())
    return tuple(dict.fromkeys(zone for effective in users for zone in effective.balancer.zones or ()))


def without_lost_zones(
    known: tuple[Registration, ...], before: Resources, after: Resources, group: str
) -> tuple[Registration, ...]:
    """Return the targets of a group, by id, without the zones in which they got traffic before and get none after."""
    if not any(registration.target.zone for registration in known):
        return known
    was, now = (_pools_by_id(resources, group) for resources in (before, after))
    return tuple(
        one.without_zone()
        if any(pool.has(one.target.zone) for pool in was) and not any(pool.has(one.target.zone) for pool in now)
        else one
        for one in known
    )


def _pools_by_id(resources: Resources, group: str) -> tuple[Pool, ...]:
    found = resources.target_groups[group]
    return pools_of(resources, found.owner, found.name, found.settings)


def _pools(effective: EffectiveListener, group: TargetGroup) -> Iterator[Pool]:
    if not effective.balancer.zones:
        yield EVERY_TARGET
    for pool in pools_by_zone(effective, group).values():
        # During a shift, the checks of all targets go on where they were.
        yield Pool(pool.zones)
        yield pool

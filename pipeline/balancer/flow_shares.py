"""The share of new connections that each target gets from a node of a network load balancer. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.balancer.effective import EffectiveNetworkListener
from pipeline.balancer.model import TargetGroup, TargetHealth, TargetState
from pipeline.balancer.pools import EVERY_TARGET, Pool, pools_by_zone


@dataclass(frozen=True)
class TargetShare:
    """A target of a listener's node. `share` is its percentage of the node's new connections.

    `weight` is that of its group. `zone` is the node's, or None without zones. `fails_open`: its group has too few
    healthy targets, so others get connections too.
    """

    zone: str | None
    group: str
    weight: float
    health: TargetHealth
    share: float
    fails_open: bool


def flow_shares(
    effective: EffectiveNetworkListener,
    zone: str | None,
    groups: Mapping[str, tuple[TargetGroup, Sequence[TargetHealth]]],
) -> Iterator[TargetShare]:
    """Yield every target that a node may reach, also without connections. `groups`: by name, with their targets."""
    forwards = effective.default_action.groups()
    whole = sum(forward.weight for forward in forwards)
    for forward in forwards:
        group, health = groups[forward.target_group]
        pool = pools_by_zone(effective, group).get(zone, EVERY_TARGET) if zone else EVERY_TARGET
        chosen, fails_open = chosen_targets(group, pool, health)
        weight = 100 * forward.weight / whole
        for one in health:
            if pool.has(one.target.zone):
                share = weight / len(chosen) if one in chosen else 0.0
                yield TargetShare(zone, forward.target_group, weight, one, share, fails_open)


def chosen_targets(group: TargetGroup, pool: Pool, health: Sequence[TargetHealth]) -> tuple[list[TargetHealth], bool]:
    """Return the targets that get new connections or flows, and whether that is because too few are healthy."""
    usable = [one for one in health if pool.has(one.target.zone)]
    healthy = [one for one in usable if one.state == TargetState.HEALTHY and pool.prefers(one.target.zone)]
    registered = sum(one.state != TargetState.DRAINING for one in usable)
    if len(healthy) >= group.attributes.min_healthy_targets(registered):
        return healthy, False
    # A target that was never healthy is not among them.
    return [one for one in usable if one.state is TargetState.HEALTHY or one.state.is_unhealthy], True

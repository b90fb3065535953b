"""The nodes of load balancers, one in each zone, and which of them clients should use. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pipeline.balancer.data_plane import Facts, group_id
from pipeline.balancer.effective import EffectiveListener, effective_listeners
from pipeline.balancer.health import group_health
from pipeline.balancer.model import TargetGroup, TargetHealth, TargetState
from pipeline.balancer.pools import pools_by_zone
from pipeline.balancer.registry import Registry
from pipeline.balancer.resources import LoadBalancerResource
from pipeline.base.clock import Stamp

_GONE = (TargetState.DRAINING, TargetState.UNUSED)


@dataclass(frozen=True)
class NodeHealth:
    """Whether the names of a load balancer give clients the address of a node. `reason` is empty if they do."""

    healthy: bool
    reason: str = ""


def node_health(registry: Registry, facts: Facts, at: Stamp) -> dict[tuple[str, str], dict[str, NodeHealth]]:
    """Return the health of each node: owner and name of the load balancer → zone → health.

    A load balancer without zones is left out. A node is unhealthy while its zone is shifted away, and if a target group
    has fewer healthy targets than `target_group_health.dns_failover` requires. With cross-zone balancing, the targets
    of all zones count. A target group without targets, or with a weight of 0, does not count, nor does an alternate
    group with a share of 0, whose targets are only starting. If no node is healthy, clients get the addresses of all.
    """
    listeners = [effective for effective in effective_listeners(registry) if effective.balancer.zones]
    groups = {group for effective in listeners for group in effective.groups()}
    health = {group: group_health(registry, *group, facts.targets.get(group_id(*group))) for group in sorted(groups)}
    found: dict[tuple[str, str], dict[str, NodeHealth]] = {}
    for balancer in registry.load_balancers.values():
        key = balancer.owner, balancer.name
        own = [effective for effective in listeners if (effective.owner, effective.name) == key]
        if balancer.settings.zones:
            found[key] = {
                zone: _node(zone, balancer, _too_few(registry, own, zone, health), at)
                for zone in balancer.settings.zones
            }
    return found


def _node(zone: str, balancer: LoadBalancerResource, too_few: Iterable[str], at: Stamp) -> NodeHealth:
    shift = balancer.shift
    if shift and shift.zone == zone and not shift.is_over(at):
        return NodeHealth(False, f"shifted away until {shift.end(at):%Y-%m-%d %H:%M:%S} UTC")
    reason = next(iter(too_few), "")
    return NodeHealth(not reason, reason)


def _too_few(
    registry: Registry,
    listeners: Iterable[EffectiveListener],
    zone: str,
    health: Mapping[tuple[str, str], Iterable[TargetHealth]],
) -> Iterator[str]:
    """Yield the reasons why the node of a zone has too few healthy targets."""
    listeners = tuple(listeners)
    idle = set(_idle_alternates(listeners))
    for effective in listeners:
        for owner, name in sorted(set(_weighted_groups(effective)) - idle):
            targets = [one for one in health[owner, name] if one.state not in _GONE]
            if targets and (reason := _shortage(registry.group(owner, name), name, effective, zone, targets)):
                yield reason


def _weighted_groups(effective: EffectiveListener) -> Iterator[tuple[str, str]]:
    for owner, action in effective.owned_actions():
        yield from ((owner, group.target_group) for group in action.groups() if group.weight)


def _idle_alternates(listeners: Iterable[EffectiveListener]) -> Iterator[tuple[str, str]]:
    """Yield the alternate groups that get no requests but those of tests, which may have a listener of their own."""
    for effective in listeners:
        for owner, action in effective.owned_actions():
            for group in action.forward.target_groups if action.forward else ():
                if group.alternate and not group.alternate.share:
                    yield owner, group.alternate.target_group


def _shortage(
    group: TargetGroup, name: str, effective: EffectiveListener, zone: str, targets: Iterable[TargetHealth]
) -> str:
    pool = pools_by_zone(effective, group)[zone]
    counted = [one for one in targets if pool.has(one.target.zone)]
    healthy = sum(one.state == TargetState.HEALTHY for one in counted)
    needed = group.attributes.min_healthy_for_names(len(counted))
    return "" if healthy >= needed else f"target group {name} has {healthy} healthy of {needed} needed targets"

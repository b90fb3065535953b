"""The listeners that the kernel carries, from the wanted state of the planes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipeline.balancer.data_plane import PlaneConfig, WantedGroup, group_id
from pipeline.balancer.effective import EffectiveNetworkListener, has_both_families
from pipeline.balancer.flows.wanted_flows import GroupFlows, ListenerFlows, WantedFlows
from pipeline.balancer.haproxy.naming import pool_backend
from pipeline.balancer.kernel.flow import MAX_WEIGHT
from pipeline.balancer.model import NetworkTargetGroup
from pipeline.balancer.plane_choice import KernelSupport, PlaneChoice, choose_plane
from pipeline.balancer.pools import pools_by_zone

# As in ELB, where it cannot be changed.
_UDP_IDLE = 120


def plane_choices(
    config: PlaneConfig, support: KernelSupport
) -> Iterator[tuple[EffectiveNetworkListener, PlaneChoice]]:
    """Yield the listeners of network load balancers, each with the plane that carries it."""
    settings = {(group.owner, group.name): group.settings for group in config.groups.values()}
    for effective in config.listeners:
        if isinstance(effective, EffectiveNetworkListener):
            yield effective, choose_plane(effective, settings, support)


def wanted_flows(config: PlaneConfig, support: KernelSupport) -> WantedFlows:
    """Return what the kernel carries of a configuration."""
    listeners = [
        each
        for effective, choice in plane_choices(config, support)
        if choice.plane == "kernel" and not choice.is_missing
        for each in _listeners(effective, config)
    ]
    known = {backend: flows for group in config.groups.values() for backend, flows in group_flows(group).items()}
    used = dict.fromkeys(backend for listener in listeners for backend, _ in listener.groups)
    return WantedFlows(tuple(listeners), {backend: known[backend] for backend in used})


def group_flows(group: WantedGroup) -> dict[str, GroupFlows]:
    """Return what the kernel needs to know of each pool of a target group, by the pool's backend in HAProxy."""
    settings = group.settings
    if not isinstance(settings, NetworkTargetGroup):
        return {}
    attributes = settings.attributes
    return {
        pool_backend(group.id, pool): GroupFlows(
            needed=attributes.min_healthy_targets(group.registered(pool)),
            hidden=not settings.preserves_client,
            cuts=attributes.unhealthy_connection_termination,
        )
        for pool in group.pools
    }


def _listeners(effective: EffectiveNetworkListener, config: PlaneConfig) -> Iterator[ListenerFlows]:
    settings = {
        part.target_group: config.groups[group_id(effective.owner, part.target_group)].settings
        for part in effective.default_action.groups()
    }
    groups = {name: each for name, each in settings.items() if isinstance(each, NetworkTargetGroup)}
    weights = _bounded({part.target_group: part.weight for part in effective.default_action.groups()})
    idle = effective.listener.attributes.tcp_idle_timeout
    for address, backends in _nodes(effective, config, groups):
        for protocol in sorted(effective.binding.transports):
            is_tcp = protocol == "tcp"
            yield ListenerFlows(
                effective.owner,
                effective.name,
                address,
                effective.port,
                "tcp" if is_tcp else "udp",
                idle=idle if is_tcp else _UDP_IDLE,
                sticky=any(each.attributes.stickiness for each in groups.values()),
                is_optional=is_tcp and not any(each.preserves_client for each in groups.values()),
                groups=tuple((backends[name], weight) for name, weight in weights.items()),
            )


def _bounded(weights: Mapping[str, int]) -> dict[str, int]:
    """Return weights that the kernel takes. They are rounded if one of them is above its limit."""
    most = max(weights.values())
    if most <= MAX_WEIGHT:
        return dict(weights)
    return {name: max(1, round(weight * MAX_WEIGHT / most)) if weight else 0 for name, weight in weights.items()}


def _nodes(
    effective: EffectiveNetworkListener, config: PlaneConfig, groups: Mapping[str, NetworkTargetGroup]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the address of each node, with the backend of the pool that it uses of each target group."""
    ids = {name: group_id(effective.owner, name) for name in groups}
    for zone, node in (effective.balancer.zones or {}).items():
        pools = {name: pools_by_zone(effective, group)[zone] for name, group in groups.items()}
        yield str(node.address), {name: pool_backend(ids[name], pool) for name, pool in pools.items()}
    if effective.balancer.zones:
        return
    address = effective.balancer.bind_address.strip("[]")
    yield ("0.0.0.0" if address == "*" else address), ids  # noqa: S104  # the kernel's name for every address
    if has_both_families(effective, config.listeners):
        yield "::", ids

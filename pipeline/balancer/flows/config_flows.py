"""The listeners that the kernel carries, from the wanted state of the planes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipeline.balancer.data_plane import PlaneConfig, WantedGroup, group_id
from pipeline.balancer.effective import EffectiveNetworkListener, has_both_families
from pipeline.balancer.flows.wanted_flows import GroupFlows, ListenerFlows, WantedFlows
from pipeline.balancer.model import NetworkTargetGroup
from pipeline.balancer.plane_choice import KernelSupport, PlaneChoice, choose_plane

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
    used = dict.fromkeys(id_ for listener in listeners for id_, _ in listener.groups)
    return WantedFlows(tuple(listeners), {id_: group_flows(config.groups[id_]) for id_ in used})


def group_flows(group: WantedGroup) -> GroupFlows:
    """Return what the kernel needs to know of a target group."""
    settings = group.settings
    assert isinstance(settings, NetworkTargetGroup)
    return GroupFlows(
        needed=settings.attributes.min_healthy_targets(group.registered),
        hidden=not settings.preserves_client,
        cuts=settings.attributes.unhealthy_connection_termination,
    )


def _listeners(effective: EffectiveNetworkListener, config: PlaneConfig) -> Iterator[ListenerFlows]:
    groups = {group_id(effective.owner, part.target_group): part.weight for part in effective.default_action.groups()}
    settings = [_network_settings(config.groups, id_) for id_ in groups]
    idle = effective.listener.attributes.tcp_idle_timeout
    for address in _addresses(effective, config):
        for protocol in sorted(effective.binding.transports):
            assert protocol in ("tcp", "udp")
            is_tcp = protocol == "tcp"
            yield ListenerFlows(
                address,
                effective.port,
                "tcp" if is_tcp else "udp",
                idle=idle if is_tcp else _UDP_IDLE,
                sticky=any(each.attributes.stickiness for each in settings),
                is_optional=is_tcp and not any(each.preserves_client for each in settings),
                groups=tuple(groups.items()),
            )


def _addresses(effective: EffectiveNetworkListener, config: PlaneConfig) -> Iterator[str]:
    address = effective.balancer.bind_address.strip("[]")
    if address != "*":
        yield address
        return
    yield "0.0.0.0"  # noqa: S104  # the kernel's name for every address
    if has_both_families(effective, config.listeners):
        yield "::"


def _network_settings(groups: Mapping[str, WantedGroup], id_: str) -> NetworkTargetGroup:
    settings = groups[id_].settings
    assert isinstance(settings, NetworkTargetGroup)
    return settings

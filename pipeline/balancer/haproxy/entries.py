"""The entries of an application load balancer: how network load balancers reach it as their target."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.balancer.data_plane import PlaneConfig
from pipeline.balancer.effective import EffectiveApplicationListener, EffectiveNetworkListener
from pipeline.balancer.haproxy.naming import entry_socket
from pipeline.balancer.model import NetworkTargetGroup


def entry_sockets(effective: EffectiveApplicationListener, config: PlaneConfig) -> list[str]:
    """Return the sockets for network load balancers: one if the listener is the target of some group, else none."""
    return [entry_socket(effective.owner, effective.name, effective.port)] if any(_before(effective, config)) else []


def nodes_before(effective: EffectiveApplicationListener, config: PlaneConfig) -> dict[str, str]:
    """Return the addresses of the nodes of network load balancers before a listener, each with its zone.

    Such a node passes connections to the node of its zone.
    """
    groups = set(_before(effective, config))
    users = (one for one in config.listeners if isinstance(one, EffectiveNetworkListener) and one.groups() & groups)
    return {str(zone.address): name for user in users for name, zone in (user.balancer.zones or {}).items()}


def _before(effective: EffectiveApplicationListener, config: PlaneConfig) -> Iterator[tuple[str, str]]:
    """Yield the target groups whose target is a listener."""
    place = (effective.owner, effective.name, effective.port)
    for group in config.groups.values():
        settings = group.settings
        if isinstance(settings, NetworkTargetGroup) and place == (group.owner, settings.load_balancer, settings.port):
            yield group.owner, group.name

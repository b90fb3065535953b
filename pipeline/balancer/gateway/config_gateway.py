"""What the gateway agent is to keep, from the wanted state of the planes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.balancer.attachments.attachments import Attached
from pipeline.balancer.data_plane import PlaneConfig, WantedGroup, group_id
from pipeline.balancer.effective import EffectiveGatewayListener
from pipeline.balancer.gateway.wanted_gateway import (
    ApplianceGroup,
    AppliancePool,
    CarriedEndpoint,
    CarriedNetwork,
    WantedGateway,
)
from pipeline.balancer.haproxy.naming import pool_backend
from pipeline.balancer.model import GatewayTargetGroup
from pipeline.balancer.pools import Pool, pools_by_zone
from pipeline.balancer.wanted_endpoint import WantedEndpoint


def wanted_gateway(config: PlaneConfig, attached: Sequence[Attached]) -> WantedGateway:
    """Return what is to be kept of a configuration whose endpoints have these attached networks."""
    endpoints, pools = dict[str, CarriedEndpoint](), dict[str, AppliancePool]()
    listeners = {
        (each.owner, each.name): each for each in config.listeners if isinstance(each, EffectiveGatewayListener)
    }
    for endpoint in config.endpoints:
        if listener := listeners.get(endpoint.load_balancer):
            pool = endpoint_pool(listener, endpoint.zone, _settings(config, listener))
            key = pool_backend(group_id(listener.owner, listener.name), pool)
            pools[key] = _pool(config, listener, pool)
            endpoints[endpoint.id] = CarriedEndpoint(endpoint.number, key, tuple(_networks(endpoint, attached)))
    groups = {pool.group: appliance_group(config.groups[pool.group]) for pool in pools.values()}
    return WantedGateway(endpoints, pools, groups)


def endpoint_pool(listener: EffectiveGatewayListener, zone: str | None, group: GatewayTargetGroup) -> Pool:
    """Return the pool of an endpoint. One that is in no zone uses the targets of all zones of the load balancer."""
    zones = listener.balancer.zones
    if not zones:
        return Pool()
    by_zone = pools_by_zone(listener, group)
    return by_zone[zone] if zone and zone in by_zone else Pool(tuple(sorted(zones)), listener.away)


def appliance_group(group: WantedGroup) -> ApplianceGroup:
    """Return what is to be known of a target group."""
    backends = tuple(pool_backend(group.id, pool) for pool in group.pools)
    return ApplianceGroup(backends, {target.id: target.zone for target in group.targets})


def _pool(config: PlaneConfig, listener: EffectiveGatewayListener, pool: Pool) -> AppliancePool:
    attributes = _settings(config, listener).attributes
    return AppliancePool(
        listener.owner,
        listener.name,
        group_id(listener.owner, listener.group),
        fields=attributes.flow_fields,
        tcp_idle=listener.listener.attributes.tcp_idle_timeout,
        rebalances=attributes.rebalances,
        zones=pool.zones,
        away=pool.away,
    )


def _settings(config: PlaneConfig, listener: EffectiveGatewayListener) -> GatewayTargetGroup:
    settings = config.groups[group_id(listener.owner, listener.group)].settings
    assert isinstance(settings, GatewayTargetGroup)
    return settings


def _networks(endpoint: WantedEndpoint, attached: Sequence[Attached]) -> Iterator[CarriedNetwork]:
    for each in attached:
        if each.endpoint.id == endpoint.id:
            yield CarriedNetwork(each.network.name, each.attachment, each.ifindex, each.network.addresses)

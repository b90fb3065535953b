"""The state of the path, from what is wanted and what the pools chose. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, ip_address, ip_network

from pipeline.balancer.gateway.appliance_route import Unreachable
from pipeline.balancer.gateway.choice import slot_table
from pipeline.balancer.gateway.gateway_state import (
    GatewayAttachment,
    GatewayEndpoint,
    GatewayPool,
    GatewayState,
    GatewayTarget,
)
from pipeline.balancer.gateway.numbers import Appliance, Numbers
from pipeline.balancer.gateway.pool_choice import PoolChoice
from pipeline.balancer.gateway.wanted_gateway import AppliancePool, CarriedEndpoint, WantedGateway


def address_of(appliance: Appliance) -> IPv4Address:
    """Return the address of an appliance. Raises `Unreachable` if it is one of IPv6."""
    host = ip_address(appliance.endpoint.rpartition(":")[0].strip("[]"))
    if isinstance(host, IPv4Address):
        return host
    raise Unreachable(f"{host} is an address of IPv6, and appliances get packets over IPv4")


def path_state(
    wanted: WantedGateway,
    choices: Mapping[str, PoolChoice],
    numbers: Numbers,
    reached: Mapping[Appliance, GatewayTarget],
) -> GatewayState:
    """Return the state. `reached`: the appliances that this machine has a route to. Others get no flows."""
    return GatewayState(
        {numbers.appliances[each]: target for each, target in reached.items()},
        {numbers.pools[key]: _pool(pool, choices[key], numbers, reached) for key, pool in wanted.pools.items()},
        {numbers.endpoints[id_]: _endpoint(each, numbers) for id_, each in wanted.endpoints.items()},
    )


def slots_of(choice: PoolChoice, numbers: Mapping[Appliance, int], reached: Collection[Appliance]) -> tuple[int, ...]:
    """Return the slots of a pool."""
    return _slots(tuple((numbers[each], each.target) for each in choice.chosen if each in reached))


def _pool(
    pool: AppliancePool, choice: PoolChoice, numbers: Numbers, reached: Mapping[Appliance, GatewayTarget]
) -> GatewayPool:
    slots = slots_of(choice, numbers.appliances, reached)
    # Without a slot, no other appliance can take the flows. Those of another group must not stay even so.
    moving = choice.moving if slots else choice.foreign
    return GatewayPool(pool.fields, pool.tcp_idle, slots, frozenset(numbers.appliances[each] for each in moving))


# Most changes leave most pools as they are.
@lru_cache(maxsize=64)
def _slots(targets: tuple[tuple[int, str], ...]) -> tuple[int, ...]:
    return slot_table(dict(targets))


def _endpoint(endpoint: CarriedEndpoint, numbers: Numbers) -> GatewayEndpoint:
    attachments = (
        GatewayAttachment(each.id, each.ifindex, tuple(ip_network(prefix, strict=False) for prefix in each.prefixes))
        for each in endpoint.networks
    )
    return GatewayEndpoint(endpoint.id, numbers.pools[endpoint.pool], tuple(attachments))

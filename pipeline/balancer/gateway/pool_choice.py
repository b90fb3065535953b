"""The appliances among which the flows of a pool choose, from what is wanted and HAProxy's servers. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from pipeline.balancer.agent.servers import Server, Servers
from pipeline.balancer.gateway.numbers import Appliance
from pipeline.balancer.gateway.wanted_gateway import ApplianceGroup, AppliancePool, WantedGateway


@dataclass(frozen=True)
class PoolChoice:
    """The appliances that get new flows, and those whose flows choose again.

    `fails_open`: none is healthy, so all of them get new flows. `foreign`: appliances of other groups with flows of
    endpoints that used these groups before. These flows choose again too, also if no appliance can take them.
    """

    chosen: tuple[Appliance, ...] = ()
    fails_open: bool = False
    rebalanced: frozenset[Appliance] = frozenset()
    foreign: frozenset[Appliance] = frozenset()

    @property
    def moving(self) -> frozenset[Appliance]:
        """All appliances whose flows choose again."""
        return self.rebalanced | self.foreign

    def without(self, foreign: Iterable[Appliance]) -> PoolChoice:
        """Return the choice if the flows of appliances of other groups choose again."""
        return replace(self, foreign=frozenset(foreign))


def group_servers(group: ApplianceGroup, servers: Servers) -> Mapping[str, Server]:
    """Return the targets of a group as HAProxy has them in any of its pools, by id."""
    found = dict[str, Server]()
    for backend in group.backends:
        for server in servers.get(backend, ()):
            # HAProxy does not check the server for the case that too few are healthy.
            known = server._replace(is_up=False) if server.is_spare else server
            if server.target not in found or not server.is_spare:
                found[server.target] = known
    return found


def appliances_of(wanted: WantedGateway, servers: Servers) -> list[Appliance]:
    """Return the appliances of all groups as HAProxy has them."""
    return [
        Appliance(id_, server.target, server.endpoint)
        for id_, group in wanted.groups.items()
        for server in group_servers(group, servers).values()
    ]


def pool_choices(
    wanted: WantedGateway,
    servers: Servers,
    known: Collection[Appliance],
    unreachable: Collection[Appliance] = (),
) -> Mapping[str, PoolChoice]:
    """Return the choice of each pool by its key. `known`: appliances that may have flows, also former ones.

    `unreachable`: appliances that get no flows, healthy or not.
    """
    return {
        key: _choice(pool, wanted.groups[pool.group], servers, known, unreachable) for key, pool in wanted.pools.items()
    }


def _choice(
    pool: AppliancePool,
    group: ApplianceGroup,
    servers: Servers,
    known: Collection[Appliance],
    unreachable: Collection[Appliance],
) -> PoolChoice:
    found = {
        target: each
        for target, each in group_servers(group, servers).items()
        if Appliance(pool.group, target, each.endpoint) not in unreachable
    }
    usable = [each for each in found.values() if each.is_open and pool.has(group.zones.get(each.target))]
    healthy = [each for each in usable if each.is_up and pool.prefers(group.zones.get(each.target))]
    chosen = _appliances(pool, healthy or usable)
    if not (pool.rebalances and healthy):
        return PoolChoice(chosen, fails_open=bool(usable) and not healthy)
    # A healthy appliance of another zone keeps the flows that it has.
    staying = {*chosen, *_appliances(pool, (each for each in found.values() if each.is_open and each.is_up))}
    return PoolChoice(chosen, rebalanced=frozenset(each for each in known if each.group == pool.group) - staying)


def _appliances(pool: AppliancePool, servers: Iterable[Server]) -> tuple[Appliance, ...]:
    return tuple(sorted(Appliance(pool.group, each.target, each.endpoint) for each in servers))

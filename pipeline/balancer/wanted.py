"""The wanted state of a data plane, from a registry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline.balancer.data_plane import PlaneConfig, WantedGroup, WantedTarget
from pipeline.balancer.effective import effective_listeners
from pipeline.balancer.effective_endpoints import wanted_endpoints
from pipeline.balancer.model import TargetGroup
from pipeline.balancer.pools import Pool, pools_of
from pipeline.balancer.registry import Registry
from pipeline.balancer.targets import Registration


def plane_config(registry: Registry) -> PlaneConfig:
    """Return the wanted state of the whole plane."""
    groups = [wanted_group(registry, owner, name) for owner, name in registry.groups()]
    return PlaneConfig(
        listeners=effective_listeners(registry),
        groups={group.id: group for group in groups},
        key_sets=registry.key_sets,
        endpoints=wanted_endpoints(registry),
    )


def wanted_group(registry: Registry, owner: str, name: str) -> WantedGroup:
    """Return the wanted state of one group. Raises `ConfigError` if it is not declared."""
    return part_of_group(registry, owner, name, registry.registrations(owner, name))


def part_of_group(registry: Registry, owner: str, name: str, known: Iterable[Registration]) -> WantedGroup:
    """Return the wanted state of a group with these of its targets only."""
    settings = registry.group(owner, name)
    pools = pools_of(registry, owner, name, settings)
    return WantedGroup(owner, name, settings, tuple(_wanted_target(one, settings, pools) for one in known), pools)


def _wanted_target(known: Registration, settings: TargetGroup, pools: Sequence[Pool]) -> WantedTarget:
    # A target in a zone that is not enabled gets no traffic, so it is not checked either.
    stays = known.wanted == "in" and any(pool.has(known.target.zone) for pool in pools)
    return WantedTarget(
        id=known.target.id,
        address=known.target.address,
        port=known.target.port,
        admit=stays and known.admitted,
        check=known.check if stays and known.is_checked(settings) else None,
        ramp=known.ramps,
        zone=known.target.zone,
    )

"""The wanted state of a data plane, from a registry."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.balancer.data_plane import PlaneConfig, WantedGroup, WantedTarget
from pipeline.balancer.effective import effective_listeners
from pipeline.balancer.model import TargetGroup
from pipeline.balancer.registry import Registry
from pipeline.balancer.targets import Registration


def plane_config(registry: Registry) -> PlaneConfig:
    """Return the wanted state of the whole plane."""
    groups = [wanted_group(registry, owner, name) for owner, name in registry.groups()]
    return PlaneConfig(
        listeners=effective_listeners(registry),
        groups={group.id: group for group in groups},
        key_sets=registry.key_sets,
    )


def wanted_group(registry: Registry, owner: str, name: str) -> WantedGroup:
    """Return the wanted state of one group. Raises `ConfigError` if it is not declared."""
    return part_of_group(registry, owner, name, registry.registrations(owner, name))


def part_of_group(registry: Registry, owner: str, name: str, known: Iterable[Registration]) -> WantedGroup:
    """Return the wanted state of a group with these of its targets only."""
    settings = registry.group(owner, name)
    return WantedGroup(owner, name, settings, tuple(_wanted_target(one, settings) for one in known))


def _wanted_target(known: Registration, settings: TargetGroup) -> WantedTarget:
    stays = known.wanted == "in"
    return WantedTarget(
        id=known.target.id,
        address=known.target.address,
        port=known.target.port,
        admit=stays and known.admitted,
        check=known.check if stays and known.is_checked(settings) else None,
        ramp=known.ramps,
    )

"""Registries whose targets wait for nothing, and the owners that differ between two registries. Pure."""

from __future__ import annotations

from pipeline.balancer.model import ApplicationTargetGroup, TargetGroup
from pipeline.balancer.registry import Registry


def is_settled(registry: Registry) -> bool:
    """Return whether every target is admitted, so that only a report of the data plane or a change can give work.

    With a zonal shift, nothing is settled, because the shift ends by itself. Nor is a group whose unhealthy targets
    drain for a while, or a group of functions or one that is scaled to zero, because no data plane reports the end of
    the process that invokes them or holds its requests.
    """
    if any(balancer.shift for balancer in registry.load_balancers.values()):
        return False
    groups = [group.settings for group in registry.target_groups.values()]
    return not any(map(_needs_watching, groups)) and all(
        registration.wanted == "in" and registration.admitted
        for targets in registry.targets.values()
        for registration in targets
    )


def _needs_watching(group: TargetGroup) -> bool:
    holds = isinstance(group, ApplicationTargetGroup) and group.hold_time is not None
    return group.is_lambda or holds or bool(group.attributes.draining_interval)


def changed_owners(before: Registry, after: Registry) -> set[str]:
    """Return the owners whose resources or targets differ."""
    known = {resource.id: resource for resource in before.all()}
    wanted = {resource.id: resource for resource in after.all()}
    owners = {
        resource.owner
        for id_, resource in (*known.items(), *wanted.items())
        if known.get(id_) != wanted.get(id_) or before.targets.get(id_) != after.targets.get(id_)
    }
    return owners if before.key_sets == after.key_sets else {*owners, *after.owners}

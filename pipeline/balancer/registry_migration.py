"""Migration of version 1 of the registry on disk, which has whole declarations and a phase for each target."""

from __future__ import annotations

from pydantic import Field

from pipeline.balancer.key_set import KeySet
from pipeline.balancer.model import Declaration, HealthCheck, Model, Target
from pipeline.balancer.registry import Registry
from pipeline.balancer.targets import Registration, TargetPhase
from pipeline.base.schema import StoredStamp


class _Registration(Model):
    target: Target
    health_check: HealthCheck
    phase: TargetPhase = TargetPhase.INITIAL
    ramps: bool = False
    since: StoredStamp

    def migrated(self) -> Registration:
        return Registration(
            target=self.target,
            check=self.health_check,
            wanted="out" if self.phase is TargetPhase.DRAINING else "in",
            admitted=self.phase is TargetPhase.IN_SERVICE,
            ramps=self.ramps,
            since=self.since,
        )


class _Owned(Model):
    declaration: Declaration
    targets: dict[str, tuple[_Registration, ...]] = Field({})


class _Registry(Model):
    written_by: str = ""
    owners: dict[str, _Owned] = Field({})
    key_sets: dict[str, KeySet] = Field({})


def from_version_1(text: str) -> Registry:
    """Return the registry in its current form. Raises `ValidationError` if the text is not version 1."""
    found = _Registry.model_validate_json(text)
    registry = Registry(written_by=found.written_by)
    for owner, owned in found.owners.items():
        registry = registry.declare(owner, owned.declaration)
        for group, targets in owned.targets.items():
            # Registries may still hold the empty list of a removed group.
            if registry.has_group(owner, group):
                registry = registry.with_registrations(owner, group, tuple(known.migrated() for known in targets))
    return registry.model_copy(update={"key_sets": found.key_sets})

"""The targets of a release that gets a part of the requests beside the active one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from pipeline.balancer.model import TargetHealth, TargetState
from pipeline.http.app_log import ReplicaName
from pipeline.runner.status import PipelineStatus
from pipeline.store.deployment_progress import ServiceProgress, ShiftPhase
from pipeline.store.records import Release

# The previous release serves meanwhile.
_BESIDE = (ShiftPhase.INSTALL, ShiftPhase.MIRROR, ShiftPhase.SHIFT)


@dataclass(frozen=True)
class CanaryTargets:
    """The targets of the new release, without those that drain. Without a release beside the active one, none."""

    release: int = 0
    moving: Sequence[ServiceProgress] = ()
    targets: Sequence[TargetHealth] = ()

    @classmethod
    def of(cls, status: PipelineStatus, active: Release | None, found: Sequence[TargetHealth]) -> Self:
        """Return those of the open deployment."""
        moving = [each for each in status.progress if each.phase in _BESIDE]
        release = status.deployment.to_release if status.deployment else None
        if not (moving and active and release) or release == active.number:
            return cls()
        targets = [
            each
            for each in found
            if each.state is not TargetState.DRAINING and ReplicaName.parse(each.target.id).release == release
        ]
        return cls(release, moving, targets)

    def has(self, health: TargetHealth) -> bool:
        """Return whether a target is one of these."""
        return health.target.id in self._ids

    @cached_property
    def _ids(self) -> frozenset[str]:
        return frozenset(each.target.id for each in self.targets)

    @property
    def healthy(self) -> int:
        """The number of healthy targets."""
        return sum(each.state is TargetState.HEALTHY for each in self.targets)

    @property
    def checked(self) -> int:
        """The number of targets whose first health checks are over."""
        return sum(each.state is not TargetState.INITIAL for each in self.targets)

    @property
    def clause(self) -> str:
        """What the release gets and how many of its targets are healthy, in words. Empty without a release."""
        if not self.moving:
            return ""
        return f"release {self.release} gets {self._share()}, {self.healthy} of {len(self.targets)} healthy"

    def _share(self) -> str:
        shares = {each.service: each.share if each.phase is ShiftPhase.SHIFT else 0.0 for each in self.moving}
        if not any(shares.values()):
            return "no requests yet"
        if len(shares) == 1:
            return f"{next(iter(shares.values())):g} %"
        return " and ".join(f"{share:g} % of {service}" for service, share in shares.items())

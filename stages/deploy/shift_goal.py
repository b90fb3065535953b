"""What a rollout that shifts traffic moves to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from pipeline.config.mirror import Mirror
from pipeline.engine.runtime import ReplicaSpec, RestartPolicy
from stages.deploy.decision import DesiredState
from stages.deploy.shifting import Step


@dataclass(frozen=True)
class ShiftGoal:
    """What a shifting rollout moves to: `desired` replicas of `spec`, by the steps of a strategy.

    `mirror` says which requests are copied before the first step.
    """

    service: str
    strategy: str
    steps: Sequence[Step]
    desired: DesiredState
    spec: ReplicaSpec
    restart: RestartPolicy
    has_test_traffic: bool = False
    mirror: Mirror | None = None

    @property
    def mirror_time(self) -> timedelta:
        """The time of the copies, 0 without them."""
        return self.mirror.duration if self.mirror else timedelta(0)

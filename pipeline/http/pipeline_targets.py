"""The targets of a pipeline with their health."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import TargetHealth
from pipeline.base.errors import BalancerFault


@dataclass(frozen=True)
class PipelineTargets:
    """The targets of a pipeline, or the problem that keeps them from being read."""

    found: Sequence[TargetHealth]
    problem: str = ""

    @classmethod
    def of(cls, balancer: Balancer, pipeline: str, stopped: Sequence[int] | None = None) -> Self:
        """Read the health of the targets. Changes nothing.

        `stopped` are the processes that a signal has stopped, if the caller knows.
        """
        declared = balancer.declaration(pipeline)
        own = [(pipeline, group) for group in declared.target_groups] if declared else []
        prefix = f"{pipeline}."
        # The service of a stack has its targets in groups of others.
        shared = [] if declared else balancer.registry().groups_with(prefix)
        stopped = balancer.stopped() if stopped is None else stopped
        if stopped:
            # It would not respond, and each request would wait for seconds.
            return cls((), f"HAProxy is stopped (pid {', '.join(map(str, stopped))})")
        try:
            found = [health for group in (*own, *shared) for health in balancer.target_health(*group)]
            return cls(found if declared else [health for health in found if health.target.id.startswith(prefix)])
        except BalancerFault as fault:
            return cls((), fault.message)

"""Auto scaling as commands, the control API and metrics show it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline.base.errors import ConfigError
from pipeline.http.responses.scaling import ScalingDecisionResponse, ScalingResponse
from pipeline.store.scaling import ScalableTarget
from pipeline.store.store import Store

if TYPE_CHECKING:
    from pipeline.scaling.bounds import Bounds
    from pipeline.scaling.policy import ScalingPolicy


def scaling_responses(store: Store, pipeline: str) -> list[ScalingResponse]:
    """Return the scaled services of the last deployment, by name. Without any, it loads nothing."""
    return [_response(store, target) for target in store.scaling.targets(pipeline)]


def _response(store: Store, target: ScalableTarget) -> ScalingResponse:
    from pipeline.scaling.decision_record import DecisionRecord
    from pipeline.scaling.policy import ScalingPolicy

    policy = ScalingPolicy.model_validate_json(target.policy)
    last = DecisionRecord.model_validate_json(target.decision) if target.decision else None
    bounds = _bounds(policy)
    return ScalingResponse(
        service=target.service,
        wanted=store.services.wanted(target.pipeline, target.service) or 0,
        min=bounds.least,
        max=bounds.most,
        suspended_at=target.suspended_at,
        policy=policy.model_dump(mode="json", exclude_none=True),
        decision=ScalingDecisionResponse(at=last.at.wall, **last.model_dump(exclude={"at", "min", "max"}))
        if last
        else None,
    )


def _bounds(policy: ScalingPolicy) -> Bounds:
    from pipeline.base.local_zone import local_zone
    from pipeline.scaling.bounds import Bounds, bounds_at

    try:
        return bounds_at(policy, datetime.now(UTC).astimezone(policy.zone(local_zone())))
    except ConfigError:
        # This machine no longer has the time zone.
        return Bounds(policy.min, policy.max)

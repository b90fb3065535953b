"""The decision about the number of replicas (pure: no clock, no I/O)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from pipeline.base.quantity import format_duration
from pipeline.scaling.bounds import Bounds, bounds_at
from pipeline.scaling.observation import Observation, ScalingState
from pipeline.scaling.policy import ScalingPolicy
from pipeline.scaling.tracking import Need, load_limit, needs

CONTROL_INTERVAL = timedelta(seconds=15)
"""The time between two decisions."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The wanted number of replicas, the reason in words and numbers, and the state for the next decision."""

    count: int
    reason: str
    state: ScalingState


def decide(policy: ScalingPolicy, state: ScalingState, seen: Observation) -> Decision:
    """Return the number of replicas that the policy wants now. Called once in each control interval.

    - The bounds apply at once, also without metrics. Only a deployment delays a number that is too high.
    - Out: as soon as one target needs more, to the number that it needs, at most once in `scale_out_cooldown`.
      Replicas that are starting count as if they were there.
    - In: after `scale_in_cooldown` in which all targets needed fewer in each interval, to the largest of these numbers.
      A missing metric, a deployment and an addition start that time again.
    - To zero, if `min` is 0: after `idle_time` without a request. No target decides this.
    - A service without replicas gets one at its first request, whatever the cooldown.
    """
    bounds = bounds_at(policy, seen.at.wall.astimezone(seen.zone))
    found = tuple(needs(policy.target, seen, state.too_much)) if policy.target else ()
    known = _note_idle(_learn(policy, state, seen), seen)
    wanted, reason = _least(found, seen, bounds)
    if wanted > seen.count:
        return _scale_out(policy, known, seen, wanted, reason, forced=seen.count < max(1, bounds.least))
    if seen.deploying:
        return _hold(known, seen, "a deployment is in progress")
    if seen.count > bounds.most:
        return Decision(bounds.most, f"max is {bounds.most}", _without_low(known))
    if not bounds.least and _is_idle(policy, known, seen):
        return Decision(
            0, f"no requests for {format_duration(policy.idle_limit)}", ScalingState(last_out=known.last_out)
        )
    return _scale_in(policy, known, seen, found, bounds)


def _learn(policy: ScalingPolicy, state: ScalingState, seen: Observation) -> ScalingState:
    if policy.target is None:
        return state
    settled = state.last_out is None or seen.at.since(state.last_out) >= policy.scale_in_cooldown
    limit = load_limit(policy.target, seen, state.too_much, settled=settled)
    return state.model_copy(update={"too_much": limit})


def _note_idle(state: ScalingState, seen: Observation) -> ScalingState:
    """Return the state with the time since which there is no request. A deployment is no idle time."""
    is_idle = seen.is_idle and seen.count > 0 and not seen.deploying
    return state.model_copy(update={"idle_since": (state.idle_since or seen.at) if is_idle else None})


def _is_idle(policy: ScalingPolicy, state: ScalingState, seen: Observation) -> bool:
    if policy.scale_in == "disabled" or state.idle_since is None:
        return False
    return seen.at.since(state.idle_since) >= policy.idle_limit


def _least(found: tuple[Need, ...], seen: Observation, bounds: Bounds) -> tuple[int, str]:
    """Return the smallest number of replicas that is not too few, and why."""
    wanted, reason = (1, "the first request") if not seen.count and seen.has_load else (0, "")
    for need in found:
        if need.least is not None and need.least > wanted:
            wanted, reason = need.least, need.text
    if wanted > bounds.most:
        return bounds.most, f"{reason}, max {bounds.most}"
    return (wanted, reason) if wanted >= bounds.least else (bounds.least, f"min is {bounds.least}")


def _scale_out(
    policy: ScalingPolicy, state: ScalingState, seen: Observation, wanted: int, reason: str, *, forced: bool
) -> Decision:
    if not forced and state.last_out is not None and seen.at.since(state.last_out) < policy.scale_out_cooldown:
        return _hold(state, seen, f"scale-out cooldown; {reason}")
    return Decision(wanted, reason, _without_low(state).model_copy(update={"last_out": seen.at}))


def _scale_in(
    policy: ScalingPolicy, state: ScalingState, seen: Observation, found: tuple[Need, ...], bounds: Bounds
) -> Decision:
    if not seen.count:
        return _hold(state, seen, "no requests")
    if policy.scale_in == "disabled" or not found:
        return _hold(state, seen, "scale-in is disabled" if found else "no target")
    if unknown := next((need for need in found if need.enough is None), None):
        return _hold(state, seen, unknown.text)
    highest = max(found, key=lambda need: need.enough or 0)
    # An idle process needs some CPU too, and `idle_time` decides about the last one.
    enough = bounds.limit(max(1, highest.enough or 0))
    if enough >= seen.count:
        return _hold(state, seen, highest.text)
    if state.low_since is None or state.low_peak >= seen.count:
        # The second case: a user has lowered the number meanwhile.
        state = state.model_copy(update={"low_since": seen.at, "low_peak": enough})
    peak = bounds.limit(max(enough, state.low_peak))
    if state.low_since is None or seen.at.since(state.low_since) < policy.scale_in_cooldown or peak >= seen.count:
        low = state.model_copy(update={"low_peak": peak})
        return Decision(seen.count, f"scale-in cooldown; {highest.text}", low)
    again = {"low_since": seen.at, "low_peak": enough} if enough < peak else {"low_since": None, "low_peak": 0}
    return Decision(peak, highest.text, state.model_copy(update=again))


def _hold(state: ScalingState, seen: Observation, reason: str) -> Decision:
    return Decision(seen.count, reason, _without_low(state))


def _without_low(state: ScalingState) -> ScalingState:
    return state.model_copy(update={"low_since": None, "low_peak": 0})

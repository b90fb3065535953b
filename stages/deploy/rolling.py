"""The rolling strategy: new replicas replace old ones a few at a time, within a surge and a minimum."""

from __future__ import annotations

from datetime import timedelta
from itertools import islice

from pipeline.balancer.model import TargetState
from stages.deploy.decision import (
    ActionType,
    DesiredState,
    Observation,
    Replica,
    ReplicaFailure,
    RolloutAction,
    RolloutDecision,
)
from stages.deploy.zones import most_crowded_first, spread, without_emptying

# Aborted requests end immediately. After this time, a target that still has some is stopped anyway.
_AFTER_ABORT = timedelta(seconds=2)


class RollingStrategy:
    """Replaces replicas one for one."""

    def decide(self, seen: Observation, desired: DesiredState) -> RolloutDecision:
        """Return the next actions."""
        return decide(seen.replicas, seen.starting, desired, seen.starting_zones, seen.failures)


def decide(
    replicas: tuple[Replica, ...],
    starting: int,
    desired: DesiredState,
    starting_zones: tuple[str | None, ...] = (),
    failures: tuple[ReplicaFailure, ...] = (),
) -> RolloutDecision:
    """Return the next actions towards `desired`.

    `starting` counts starts that have not returned yet. `starting_zones` are their zones. `failures` were counted.
    """
    failed = {failure.name for failure in failures}
    kept = [r for r in replicas if r.name not in failed and _is_kept(r, desired)]
    counted = tuple(f for r in kept if (f := _failure(r, desired)))
    if counted and len(failed) + len(counted) >= (desired.failure_threshold or 1):
        return RolloutDecision(failure=counted[0], counted=counted)
    failed |= {failure.name for failure in counted}
    kept = [r for r in kept if r.name not in failed]
    others = [r for r in replicas if r not in kept]
    own_steps = [a for r in replicas if not r.action_pending and (a := _own_step(r, r in kept, desired))]
    zones = spread(desired.zones, [*(r.zone for r in kept), *starting_zones])
    starts = [
        RolloutAction(ActionType.START, zone=next(zones)) for _ in range(_room(replicas, kept, starting, desired))
    ]
    is_moving = bool(own_steps or starts or starting) or not all(r.healthy for r in kept)
    is_moving |= any(r.is_draining or r.action_pending for r in replicas)
    actions = [*own_steps, *_retirements(kept, others, desired, is_moving=is_moving), *starts]
    done = not actions and not others and not starting and len(kept) == desired.replicas
    converged = done and all(r.healthy and not r.action_pending for r in kept)
    return RolloutDecision(tuple(actions), converged=converged, counted=counted)


def _is_kept(replica: Replica, desired: DesiredState) -> bool:
    """Return whether it counts towards the desired replicas. One that was found broken is replaced."""
    if replica.template != desired.template or replica.is_draining:
        return False
    if replica.started_here:
        return True
    if replica.target is TargetState.UNHEALTHY:
        # A limit of 0 keeps no unhealthy replica.
        limit = desired.unhealthy_timeout
        return replica.is_running and bool(limit) and replica.not_healthy_for <= limit
    return replica.is_running and replica.not_healthy_for <= desired.deploy_timeout


def _failure(replica: Replica, desired: DesiredState) -> ReplicaFailure | None:
    if not replica.started_here or replica.action_pending:
        return None
    if not replica.is_running:
        return ReplicaFailure(replica.name, "its container exited")
    if not replica.healthy and replica.not_healthy_for > desired.deploy_timeout:
        seconds = desired.deploy_timeout.total_seconds()
        return ReplicaFailure(
            replica.name, f"it was not healthy for {seconds:g} s: {replica.reason or 'no check has passed'}"
        )
    return None


def _own_step(replica: Replica, kept: bool, desired: DesiredState) -> RolloutAction | None:
    """Return the action that a replica needs, whatever the state of the others."""
    if replica.is_draining:
        return _leave(replica, desired)
    if kept:
        if replica.target is None:
            return RolloutAction(ActionType.REGISTER, replica.name)
        return (
            RolloutAction(ActionType.SET_RESTART_POLICY, replica.name)
            if replica.healthy and not replica.restart_policy_set
            else None
        )
    if replica.target is None:
        # It is not registered, so no request can reach it.
        return RolloutAction(ActionType.STOP if replica.is_running else ActionType.REMOVE, replica.name)
    return None if replica.is_running else RolloutAction(ActionType.DEREGISTER, replica.name)


def _leave(replica: Replica, desired: DesiredState) -> RolloutAction | None:
    if not replica.is_running:
        return RolloutAction(ActionType.REMOVE, replica.name)
    if replica.in_flight == 0 or replica.draining_for >= desired.deregistration_delay + _AFTER_ABORT:
        return RolloutAction(ActionType.STOP, replica.name)
    return (
        RolloutAction(ActionType.ABORT, replica.name) if replica.draining_for >= desired.deregistration_delay else None
    )


def _retirements(
    kept: list[Replica], others: list[Replica], desired: DesiredState, *, is_moving: bool
) -> list[RolloutAction]:
    """Deregister replicas that are not wanted, the unhealthy ones first, as far as the minimum allows.

    An unwanted replica that was healthy once counts towards the minimum, also while it is unhealthy, because it may
    recover. A wanted replica counts only while it is healthy: a new release replaces nothing before it is healthy. A
    replica that was never healthy does not count, so it can be deregistered at any time. The last healthy replica
    of a zone stays, because without cross-zone balancing the zone's node would have no target. It goes too if no
    replica is wanted, or if nothing else goes and nothing `is_moving`, because no successor will come.
    """
    surplus = _surplus(kept, desired)
    unwanted = [r for r in (*others, *surplus) if r.is_running and r.target and not r.is_draining]
    costly = sorted((r for r in unwanted if r.target is not TargetState.INITIAL), key=lambda r: r.healthy)
    standing = len(costly) + sum(r.healthy for r in kept if r not in surplus)
    room = max(0, standing - desired.min_healthy)
    able = [*islice(without_emptying(costly, [*costly, *(r for r in kept if r not in surplus)]), room)]
    if not desired.replicas or not (able or is_moving):
        able = costly[:room]
    retired = [*(r for r in unwanted if r not in costly), *able]
    return [RolloutAction(ActionType.DEREGISTER, r.name) for r in retired]


def _surplus(kept: list[Replica], desired: DesiredState) -> list[Replica]:
    """Return the replicas above the desired number: unhealthy ones, then those with the most others in their zone."""
    first = most_crowded_first(sorted(kept, key=lambda r: (r.healthy, r.started_here)))
    return sorted(first, key=lambda r: r.healthy)[: max(0, len(kept) - desired.replicas)]


def _room(replicas: tuple[Replica, ...], kept: list[Replica], starting: int, desired: DesiredState) -> int:
    """Return the number of replicas that are missing and may be started now."""
    missing = desired.replicas - len(kept) - starting
    room = desired.max_running - sum(r.is_running for r in replicas) - starting
    return max(0, min(missing, room))

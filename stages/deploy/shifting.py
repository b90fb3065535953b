"""The decision of a deployment that shifts traffic: a second target group, and the share of requests that it gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from pipeline.store.deployment_progress import ShiftPhase
from stages.deploy.decision import (
    DesiredState,
    Observation,
    Replica,
    ReplicaFailure,
    RolloutAction,
    RolloutDecision,
)
from stages.deploy.rolling import decide as decide_rolling

_SHARE_ERROR = 0.05
# A data plane that restarts knows the state of one target before that of another.
_OUTAGE = timedelta(seconds=2)
# No replica is of it. A container that is gone has an empty one.
_NO_TEMPLATE = "-"


class Step(Protocol):
    """A step of a strategy: the percentage of requests that the new release gets, and for how long at least."""

    @property
    def percent(self) -> float:
        """The share of the new release."""

    @property
    def bake_time(self) -> timedelta:
        """The time until the next step."""


@dataclass(frozen=True)
class ShiftObservation:
    """A service and its two target groups at one moment.

    `phase` and `step` are those of the stored progress. `home` and `alternate` are the names of the replicas in each
    group. The state of a replica in `replicas` is that of its group; of one in both, it is that of the alternate group
    while it gets requests. `healthy_at_home` names the healthy targets of the home group. `share` is the percentage of
    requests that the alternate group gets. `is_declared`: the alternate group exists, and forwards have it. `baked` is
    the time that this step has served, or the release has had copies, and `in_phase_for` the time that this process has
    been in the phase. `alarm` is what the judge has found.
    """

    phase: ShiftPhase
    step: int
    replicas: Observation
    home: frozenset[str] = frozenset()
    alternate: frozenset[str] = frozenset()
    healthy_at_home: frozenset[str] = frozenset()
    share: float = 0.0
    is_declared: bool = False
    baked: timedelta = timedelta(0)
    in_phase_for: timedelta = timedelta(0)
    alarm: str | None = None


class MoveType(StrEnum):
    """What a shifting deployment does besides the steps of its replicas. Each may be repeated.

    `declare`: the alternate group exists, with a share of 0. `set_share`: it gets a share of the requests. `begin`: the
    next phase or step is stored. `join`: replicas of the alternate group are registered in the home group too. `leave`:
    they drain in the alternate group, which gets no requests, and leave it. `drop`: the group is removed. `finish`:
    nothing is left to do.
    """

    DECLARE = "declare"
    SET_SHARE = "set_share"
    BEGIN = "begin"
    JOIN = "join"
    LEAVE = "leave"
    DROP = "drop"
    FINISH = "finish"


@dataclass(frozen=True)
class Move:
    """One move. `share` is that of SET_SHARE, `phase` and `step` those of BEGIN, and `names` the replicas of JOIN."""

    type: MoveType
    share: float = 0.0
    phase: ShiftPhase = ShiftPhase.INSTALL
    step: int = 0
    names: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ShiftDecision:
    """What follows: actions on replicas, or one move, or the reason of a rollback."""

    actions: tuple[RolloutAction, ...] = ()
    move: Move | None = None
    failure: ReplicaFailure | None = None
    alarm: str | None = None


def decide(
    seen: ShiftObservation, steps: Sequence[Step], desired: DesiredState, mirror: timedelta = timedelta(0)
) -> ShiftDecision:
    """Return what follows. Pure, without a state between two calls.

    `desired` is the new release, or in the phase `undo` the previous one. It gets copies of requests for the time
    `mirror` before the first step, without this phase if it is 0.

    Guarantees after every action and move, whatever the state before:

    - when the share of a group is raised, it has at least `min_healthy` healthy targets. Only when the share goes back
      to a previous release that has fewer, it has at least as many as the new one;
    - the previous release keeps all its replicas until the phase `retire`;
    - no container is stopped while it may get a request, or has one in flight within its delay;
    - at the end there is no alternate group.
    """
    match seen.phase:
        case ShiftPhase.INSTALL:
            return _install(seen, desired, mirror)
        case ShiftPhase.MIRROR:
            return _mirror(seen, desired, mirror)
        case ShiftPhase.SHIFT:
            return _shift(seen, steps, desired)
        case ShiftPhase.RETIRE:
            return _retire(seen, desired)
        case ShiftPhase.HOME | ShiftPhase.UNDO:
            return _go_home(seen, desired)
        case _:
            return ShiftDecision(move=Move(MoveType.FINISH))


def _install(seen: ShiftObservation, desired: DesiredState, mirror: timedelta) -> ShiftDecision:
    if not seen.is_declared:
        return ShiftDecision(move=Move(MoveType.DECLARE))
    following = ShiftPhase.MIRROR if mirror else ShiftPhase.SHIFT
    return _then(_beside(seen, desired), Move(MoveType.BEGIN, phase=following))


def _mirror(seen: ShiftObservation, desired: DesiredState, mirror: timedelta) -> ShiftDecision:
    """Keep the new release beside the previous one while it gets copies of requests."""
    if not seen.is_declared:
        return ShiftDecision(move=Move(MoveType.DECLARE))
    if seen.alarm:
        return ShiftDecision(alarm=seen.alarm)
    found = _beside(seen, desired)
    if seen.baked < mirror:
        return ShiftDecision(found.actions, failure=found.failure)
    return _then(found, Move(MoveType.BEGIN, phase=ShiftPhase.SHIFT))


def _shift(seen: ShiftObservation, steps: Sequence[Step], desired: DesiredState) -> ShiftDecision:
    if not seen.is_declared:
        return ShiftDecision(move=Move(MoveType.DECLARE))
    if seen.alarm:
        return ShiftDecision(alarm=seen.alarm)
    if failure := _outage(seen, desired):
        return ShiftDecision(failure=failure)
    wanted, found = steps[seen.step], _beside(seen, desired)
    if not _is_same(seen.share, wanted.percent):
        return _then(found, Move(MoveType.SET_SHARE, share=wanted.percent))
    if seen.baked < wanted.bake_time:
        return ShiftDecision(found.actions, failure=found.failure)
    is_last = seen.step + 1 == len(steps)
    following = ShiftPhase.RETIRE if is_last else ShiftPhase.SHIFT
    return _then(found, Move(MoveType.BEGIN, phase=following, step=0 if is_last else seen.step + 1))


def _retire(seen: ShiftObservation, desired: DesiredState) -> ShiftDecision:
    """Remove the previous release. It gets no request any more."""
    if seen.share < 100:
        return _then(_beside(seen, desired), Move(MoveType.SET_SHARE, share=100.0))
    found = _rolling(seen, seen.replicas.replicas, desired)
    return _then(found, Move(MoveType.BEGIN, phase=ShiftPhase.HOME))


def _go_home(seen: ShiftObservation, desired: DesiredState) -> ShiftDecision:
    """Let the home group have the wanted replicas and all requests, and then remove the alternate group."""
    wanted = [r for r in seen.replicas.replicas if r.template == desired.template and r.is_running]
    outside = frozenset(r.name for r in wanted if not r.is_draining) & (seen.alternate - seen.home)
    if outside:
        return ShiftDecision(move=Move(MoveType.JOIN, names=outside))
    if seen.share:
        return _take_share_back(seen, desired)
    found = _both(_at_home(seen, desired), _drain_alternate(seen, desired))
    return _then(found, Move(_last_move(seen)))


def _take_share_back(seen: ShiftObservation, desired: DesiredState) -> ShiftDecision:
    """Give the home group all requests once it can take them."""
    back = Move(MoveType.SET_SHARE, share=0.0)
    if seen.phase is ShiftPhase.UNDO:
        return ShiftDecision(move=back) if can_return(seen, desired) else _then(_only_wanted(seen, desired), back)
    found = _only_wanted(seen, desired)
    missing = [
        r.name
        for r in seen.replicas.replicas
        if r.template == desired.template and not r.is_draining and r.name not in seen.healthy_at_home
    ]
    if found.converged and missing:
        seconds = desired.deploy_timeout.total_seconds()
        reason = f"it was not healthy in its own target group for {seconds:g} s"
        is_late = seen.in_phase_for > desired.deploy_timeout
        return ShiftDecision(failure=ReplicaFailure(missing[0], reason) if is_late else None)
    return _then(found, back)


def _last_move(seen: ShiftObservation) -> MoveType:
    if seen.alternate:
        return MoveType.LEAVE
    return MoveType.DROP if seen.is_declared else MoveType.FINISH


def can_return(seen: ShiftObservation, desired: DesiredState) -> bool:
    """Return whether the home group can take all requests at once, or at least better than the alternate one."""
    if not desired.replicas:
        return True
    healthy = len(seen.healthy_at_home)
    others = sum(r.healthy for r in seen.replicas.replicas if r.name in seen.alternate)
    return healthy >= max(1, desired.min_healthy) or healthy >= max(1, others)


def _outage(seen: ShiftObservation, desired: DesiredState) -> ReplicaFailure | None:
    """Return a failure if the new release gets requests, has no healthy target, and the previous one has some.

    After a restart of the machine the targets of both are unhealthy for a moment, so it counts only for replicas that
    this process has started.
    """
    new = [r for r in seen.replicas.replicas if r.name in seen.alternate and r.template == desired.template]
    if not seen.share or not seen.healthy_at_home or not new:
        return None
    if any(r.healthy or r.action_pending or not r.started_here or r.not_healthy_for < _OUTAGE for r in new):
        return None
    first = new[0]
    return ReplicaFailure(
        first.name, f"no target of the new release is healthy: {first.reason or 'no check has passed'}"
    )


def _beside(seen: ShiftObservation, desired: DesiredState) -> RolloutDecision:
    """Keep the new release at its number. What is in the home group is not touched."""
    own = tuple(r for r in seen.replicas.replicas if r.name not in seen.home)
    return _rolling(seen, own, desired)


def _only_wanted(seen: ShiftObservation, desired: DesiredState) -> RolloutDecision:
    """Bring the wanted replicas into the home group. Others may still get requests and are not touched."""
    own = tuple(r for r in seen.replicas.replicas if r.template == desired.template)
    return _rolling(seen, own, desired)


def _at_home(seen: ShiftObservation, desired: DesiredState) -> RolloutDecision:
    """Make the home group have the wanted replicas and no others. Those of the alternate group alone do not count."""
    own = tuple(r for r in seen.replicas.replicas if not _is_alternate_only(r, seen))
    return _rolling(seen, own, desired)


def _drain_alternate(seen: ShiftObservation, desired: DesiredState) -> RolloutDecision:
    """Drain and remove the replicas that are in the alternate group only, which gets no requests."""
    gone = tuple(r for r in seen.replicas.replicas if _is_alternate_only(r, seen))
    return decide_rolling(gone, 0, replace(desired, template=_NO_TEMPLATE, replicas=0, max_surge=0))


def _rolling(seen: ShiftObservation, replicas: tuple[Replica, ...], desired: DesiredState) -> RolloutDecision:
    return decide_rolling(replicas, seen.replicas.starting, desired, seen.replicas.starting_zones)


def _is_same(share: float, percent: float) -> bool:
    # Weights are whole numbers, so a share may be a little different from what was asked for.
    return abs(share - percent) < _SHARE_ERROR


def _is_alternate_only(replica: Replica, seen: ShiftObservation) -> bool:
    return replica.name in seen.alternate and replica.name not in seen.home


def _both(first: RolloutDecision, second: RolloutDecision) -> RolloutDecision:
    if failure := first.failure or second.failure:
        return RolloutDecision(failure=failure)
    return RolloutDecision((*first.actions, *second.actions), converged=first.converged and second.converged)


def _then(found: RolloutDecision, move: Move) -> ShiftDecision:
    """Return the move once the replicas are as wanted, and what brings them there until then."""
    if found.converged:
        return ShiftDecision(move=move)
    return ShiftDecision(found.actions, failure=found.failure)

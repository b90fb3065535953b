"""The rollout as a pure decision: what is there, what is wanted, what may be done about it now.

Nothing here touches Docker or HAProxy, and nothing is remembered between two calls. So a runner that was killed
at any moment is continued by the next one, and every situation can be tried in a test.

What holds after every action, whatever was there before:

- healthy targets never fall below `desired - max_unavailable` because of us;
- running containers never rise above `desired + max_surge` because of us;
- no container is stopped that may be sent a request, or that has one in flight within its delay;
- a replica that is not healthy never costs a healthy one of the former release more than the floor allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from pipeline.balancer.model import TargetState

# What is cut is gone at once; one that hangs all the same does not hold up the rollout for ever.
_AFTER_CUT = timedelta(seconds=2)


class Container(StrEnum):
    """What Docker says of a replica's container. One that Docker restarts counts as running."""

    RUNNING = "running"
    EXITED = "exited"


@dataclass(frozen=True)
class Replica:
    """One container with its target.

    `template` identifies image and configuration; `target` is None when it is not registered. `waiting` is how
    long it has not been healthy, `draining` how long it has been draining. `ours` says that this process started
    it: what was found dead is replaced, what dies under our hands fails the release. `settled` says that its
    restart policy is in force, `busy` that an action on it has not returned yet.
    """

    name: str
    template: str
    container: Container
    target: TargetState | None = None
    in_flight: int = 0
    waiting: timedelta = timedelta(0)
    draining: timedelta = timedelta(0)
    reason: str = ""
    ours: bool = False
    settled: bool = False
    busy: bool = False

    @property
    def runs(self) -> bool:
        """It takes room on the machine."""
        return self.container is Container.RUNNING

    @property
    def leaving(self) -> bool:
        """It is on its way out, and nothing brings it back."""
        return self.target is TargetState.DRAINING

    @property
    def healthy(self) -> bool:
        """The data plane sends it requests. A dead one counts until the data plane has noticed or was told."""
        return self.target is TargetState.HEALTHY and self.runs


@dataclass(frozen=True)
class Desired:
    """What is wanted: `replicas` healthy ones of `template`, and nothing else.

    `patience` is how long one that is found unhealthy may stay so before it is replaced.
    """

    template: str
    replicas: int
    max_surge: int
    max_unavailable: int
    deregistration_delay: timedelta
    deploy_timeout: timedelta
    patience: timedelta = timedelta(0)

    @property
    def floor(self) -> int:
        """How low the healthy count may be brought."""
        return max(0, self.replicas - self.max_unavailable)

    @property
    def ceiling(self) -> int:
        """How many containers may run."""
        return self.replicas + self.max_surge


class Verb(StrEnum):
    """The steps of a replacement. Each may be repeated without harm."""

    START = "start"
    REGISTER = "register"
    SETTLE = "settle"
    DEREGISTER = "deregister"
    CUT = "cut"
    STOP = "stop"
    REMOVE = "remove"


@dataclass(frozen=True)
class Action:
    """One step. `name` is the replica's; empty for START, which makes a new one."""

    verb: Verb
    name: str = ""


@dataclass(frozen=True)
class Failure:
    """The release does not work. `name` is the replica that shows it."""

    name: str
    reason: str


@dataclass(frozen=True)
class Decision:
    """What to do now. `converged` when everything is as wanted, and nothing is under way."""

    actions: tuple[Action, ...] = ()
    failure: Failure | None = None
    converged: bool = False


def decide(replicas: tuple[Replica, ...], starting: int, desired: Desired) -> Decision:
    """The next steps from here to `desired`. `starting` counts containers whose start has not returned yet."""
    kept = [r for r in replicas if _is_kept(r, desired)]
    failure = next((f for r in kept if (f := _failure(r, desired))), None)
    if failure:
        return Decision(failure=failure)
    others = [r for r in replicas if r not in kept]
    actions = [
        *(a for r in replicas if not r.busy and (a := _own_step(r, r in kept, desired))),
        *_retirements(kept, others, desired),
        *_starts(replicas, kept, starting, desired),
    ]
    done = not actions and not others and not starting and len(kept) == desired.replicas
    return Decision(tuple(actions), converged=done and all(r.healthy and not r.busy for r in kept))


def _is_kept(replica: Replica, desired: Desired) -> bool:
    """Whether it counts towards what is wanted. One that was found broken is replaced, not waited for."""
    if replica.template != desired.template or replica.leaving:
        return False
    if replica.ours:
        return True
    if replica.target is TargetState.UNHEALTHY:
        return replica.runs and timedelta(0) < desired.patience >= replica.waiting
    return replica.runs and replica.waiting <= desired.deploy_timeout


def _failure(replica: Replica, desired: Desired) -> Failure | None:
    if not replica.ours or replica.busy:
        return None
    if not replica.runs:
        return Failure(replica.name, "its container exited")
    if not replica.healthy and replica.waiting > desired.deploy_timeout:
        seconds = desired.deploy_timeout.total_seconds()
        return Failure(replica.name, f"it was not healthy for {seconds:g} s: {replica.reason or 'no check has passed'}")
    return None


def _own_step(replica: Replica, kept: bool, desired: Desired) -> Action | None:
    """What a replica needs for itself, without regard to the others."""
    if replica.leaving:
        return _leave(replica, desired)
    if kept:
        if replica.target is None:
            return Action(Verb.REGISTER, replica.name)
        return Action(Verb.SETTLE, replica.name) if replica.healthy and not replica.settled else None
    if replica.target is None:
        # Never registered, or forgotten already: no request can reach it.
        return Action(Verb.STOP if replica.runs else Verb.REMOVE, replica.name)
    return None if replica.runs else Action(Verb.DEREGISTER, replica.name)


def _leave(replica: Replica, desired: Desired) -> Action | None:
    if not replica.runs:
        return Action(Verb.REMOVE, replica.name)
    if replica.in_flight == 0 or replica.draining >= desired.deregistration_delay + _AFTER_CUT:
        return Action(Verb.STOP, replica.name)
    return Action(Verb.CUT, replica.name) if replica.draining >= desired.deregistration_delay else None


def _retirements(kept: list[Replica], others: list[Replica], desired: Desired) -> list[Action]:
    """Deregister what is not wanted, the unhealthy first, as far as the floor allows.

    Every replica that was healthy once may stand for one of the floor, even a sick one, that may recover; except the
    wanted ones that are not healthy now: a new release has to prove itself before it replaces anything. One that
    never was healthy stands for nothing, and its leaving costs nothing.
    """
    surplus = sorted(kept, key=lambda r: (r.healthy, r.ours))[: max(0, len(kept) - desired.replicas)]
    unwanted = [r for r in (*others, *surplus) if r.runs and r.target and not r.leaving]
    costly = sorted((r for r in unwanted if r.target is not TargetState.INITIAL), key=lambda r: r.healthy)
    standing = len(costly) + sum(r.healthy for r in kept if r not in surplus)
    room = max(0, standing - desired.floor)
    leaving = [*(r for r in unwanted if r not in costly), *costly[:room]]
    return [Action(Verb.DEREGISTER, r.name) for r in leaving]


def _starts(replicas: tuple[Replica, ...], kept: list[Replica], starting: int, desired: Desired) -> list[Action]:
    missing = desired.replicas - len(kept) - starting
    room = desired.ceiling - sum(r.runs for r in replicas) - starting
    return [Action(Verb.START)] * max(0, min(missing, room))

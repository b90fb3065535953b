"""The targets of a service that moves to another target group, while it is in both."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.balancer.model import Target, TargetHealth, TargetState
from pipeline.base.errors import Cancelled
from stages.deploy.replicas import Targets

# Seconds that a service waits, at the end of its move, for the listeners that still forward to the former group.
LISTENER_TIMEOUT = 10.0
# A target whose group no listener uses is not checked there.
_ADMISSIBLE = (TargetState.HEALTHY, TargetState.UNUSED)
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class MemberGroup:
    """A target group that the service joins or leaves.

    `gets_traffic` returns whether a listener forwards to it, and `is_used` also whether one has it with a weight of 0,
    which may change at any time. Targets of two groups with the same `protocol` can be registered in both. It is empty
    if they cannot.
    """

    targets: Targets
    name: str
    gets_traffic: Callable[[], bool]
    is_used: Callable[[], bool]
    protocol: str


class MovingTargets:
    """Implements `Targets` on the group that a service joins, and on those that it leaves.

    A replica counts as healthy where the traffic is. The present replicas are registered in the new group at the
    beginning. A new replica is registered in the new group first and, once it is healthy there, also in each former
    group that a listener uses. It counts when it is healthy in all of them. So both groups have enough healthy targets,
    whenever the listeners change from one to the other, and back. Each replica leaves all groups at the same time. If
    no listener uses the new group, as after an interrupted move, a replica is not checked there.

    If the protocols differ, a replica is in one group only. Then a new one counts as healthy once its group gets
    traffic, or the former one gets none any more.

    `delay` is the deregistration delay in seconds, and `listener_timeout` how long `leave` waits. Safe to use from any
    thread, but one at a time calls `reconciled_health`.
    """

    def __init__(
        self,
        joined: MemberGroup,
        former: Sequence[MemberGroup],
        delay: float,
        listener_timeout: float | None = None,
    ) -> None:
        self._joined = joined
        self._former = former
        self._delay = delay
        self._listener_timeout = LISTENER_TIMEOUT if listener_timeout is None else listener_timeout

    def target_health(self, owner: str, group: str) -> tuple[TargetHealth, ...]:
        """Return the health of each target."""
        found = {h.target.id: h for h in self._joined.targets.target_health(owner, group)}
        for former in self._former:
            self._merge(found, former, former.targets.target_health(owner, former.name))
        return tuple(found.values())

    def reconciled_health(self, owner: str, group: str) -> tuple[TargetHealth, ...]:
        """Admit targets that have passed a check, also to former groups, and return the health of each."""
        joined = {h.target.id: h for h in self._joined.targets.reconciled_health(owner, group)}
        found = dict(joined)
        for former in self._former:
            known = former.targets.reconciled_health(owner, former.name)
            self._merge(found, former, known)
            if former.is_used():
                present = {h.target.id for h in known}
                new = [h for h in joined.values() if h.state in _ADMISSIBLE and h.target.id not in present]
                self._admit(owner, former, new, found)
        return tuple(found.values())

    def zones(self, owner: str, group: str) -> tuple[str, ...]:
        """Return the zones of the new group."""
        return self._joined.targets.zones(owner, group)

    def join(self, owner: str) -> None:
        """Register the present targets in the new group too."""
        targets, name = self._joined.targets, self._joined.name
        joined = {h.target.id for h in targets.target_health(owner, name)}
        zones = targets.zones(owner, name)
        for former in self._former:
            known = former.targets.target_health(owner, former.name) if self._fits(former) else ()
            present = [h.target for h in known if h.target.id not in joined and not _is_leaving(h)]
            if present:
                targets.register(owner, name, *(_in_zones(target, zones) for target in present))

    def register(self, owner: str, group: str, *targets: Target) -> None:
        """Add targets to the new group."""
        self._joined.targets.register(owner, group, *targets)

    def deregister(self, owner: str, _group: str, target_id: str) -> None:
        """Stop new requests to a target, from all groups."""
        for targets, name in self._groups():
            targets.deregister(owner, name, target_id)

    def abort_connections(self, owner: str, _group: str, target_id: str) -> None:
        """Close the open requests of a target."""
        for targets, name in self._groups():
            targets.abort_connections(owner, name, target_id)

    def remove_target(self, owner: str, _group: str, target_id: str) -> None:
        """Remove a target."""
        for targets, name in self._groups():
            targets.remove_target(owner, name, target_id)

    def leave(self, owner: str, pause: Callable[[float], None]) -> None:
        """Drain and remove the targets of the former groups, which are targets of the new one by now.

        Waits some seconds for the listeners. A group that one still uses keeps its targets, because it would have none.
        `pause` waits for some seconds, and may raise.
        """
        deadline = time.monotonic() + self._listener_timeout
        for former in self._former:
            left = [h.target.id for h in former.targets.target_health(owner, former.name)]
            while left and former.is_used() and time.monotonic() < deadline:
                pause(_POLL_SECONDS)
            if not former.is_used():
                self._empty(owner, former, left, pause)

    def _empty(self, owner: str, former: MemberGroup, left: Sequence[str], pause: Callable[[float], None]) -> None:
        for target_id in left:
            former.targets.deregister(owner, former.name, target_id)
        drained = time.monotonic() + self._delay
        while _in_flight(owner, former) and time.monotonic() < drained:
            pause(_POLL_SECONDS)
        for target_id in left:
            former.targets.abort_connections(owner, former.name, target_id)
            former.targets.remove_target(owner, former.name, target_id)

    def _merge(self, found: dict[str, TargetHealth], former: MemberGroup, known: Sequence[TargetHealth]) -> None:
        """Add what is known of a former group to what is known of the others."""
        is_serving, is_used = former.gets_traffic(), former.is_used()
        for health in known:
            other = found.get(health.target.id)
            is_new = other is not None and other.state in _ADMISSIBLE and health.state is TargetState.INITIAL
            decides = is_serving or (is_used and is_new)
            found[health.target.id] = _merged(other, health, decides=decides) if other else health

    def _admit(
        self, owner: str, former: MemberGroup, new: Sequence[TargetHealth], found: dict[str, TargetHealth]
    ) -> None:
        """Register replicas in a former group that gets traffic. They do not count as healthy before they are there."""
        if self._fits(former):
            zones = former.targets.zones(owner, former.name)
            if new:
                former.targets.register(owner, former.name, *(_in_zones(h.target, zones) for h in new))
        elif self._joined.gets_traffic() or not former.gets_traffic():
            return
        for health in new:
            found[health.target.id] = health.model_copy(update={"state": TargetState.INITIAL})

    def _fits(self, former: MemberGroup) -> bool:
        return bool(former.protocol) and former.protocol == self._joined.protocol

    def _groups(self) -> Iterator[tuple[Targets, str]]:
        """Yield all groups. A target that is not registered in one is ignored there."""
        yield self._joined.targets, self._joined.name
        yield from ((former.targets, former.name) for former in self._former)


def wait_unless_cancelled(cancelled: threading.Event, seconds: float) -> None:
    """Wait as the `pause` of `leave`. Raises `Cancelled`."""
    if cancelled.wait(seconds):
        raise Cancelled("cancelled while deploying")


def _merged(joined: TargetHealth, former: TargetHealth, *, decides: bool) -> TargetHealth:
    """Return the health of a target of two groups. The former one `decides`. It drains if it drains in both."""
    seen = former if decides else joined
    if _is_leaving(joined) != _is_leaving(former):
        seen = former if _is_leaving(joined) else joined
    return seen.model_copy(update={"in_flight": joined.in_flight + former.in_flight})


def _is_leaving(health: TargetHealth) -> bool:
    return health.state in (TargetState.DRAINING, TargetState.UNHEALTHY_DRAINING)


def _in_zones(target: Target, zones: Sequence[str]) -> Target:
    return target if target.zone in (None, *zones) else target.model_copy(update={"zone": None})


def _in_flight(owner: str, former: MemberGroup) -> bool:
    return any(h.in_flight for h in former.targets.target_health(owner, former.name))

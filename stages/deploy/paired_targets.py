"""The targets of a service in two target groups: its home group, and the alternate one of a shifting deployment."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from pipeline.balancer.model import Target, TargetHealth, TargetState
from stages.deploy.moving_targets import MemberGroup, MovingTargets


@dataclass(frozen=True)
class PairedHealth:
    """The health of each target in both groups, by its name."""

    home: Mapping[str, TargetHealth]
    alternate: Mapping[str, TargetHealth]

    def merged(self, share: float) -> tuple[TargetHealth, ...]:
        """Return the health of each target. `share` is the percentage of requests of the alternate group."""
        names = [*self.home, *(name for name in self.alternate if name not in self.home)]
        return tuple(self._one(name, share) for name in names)

    def _one(self, name: str, share: float) -> TargetHealth:
        home, alternate = self.home.get(name), self.alternate.get(name)
        if home is None or alternate is None:
            found = home or alternate
            assert found is not None
            return found
        return _merge(home, alternate, share)


class PairedTargets:
    """Implements `Targets` on both groups.

    New targets are registered in the home group, or in the alternate one while `is_shifting`. A target leaves both
    groups at the same time. One that is in both has its state in the group that gets requests. Safe to
    use from any thread, but one at a time calls `reconciled_health`.
    """

    def __init__(self, home: MemberGroup, alternate: MemberGroup, share: Callable[[], float], delay: float) -> None:
        self._home = home
        self._alternate = alternate
        self._share = share
        self._moving = MovingTargets(home, [alternate], delay)
        self.is_shifting = False
        self.seen = PairedHealth({}, {})
        """The health that `reconciled_health` has found last."""

    def target_health(self, owner: str, _group: str) -> tuple[TargetHealth, ...]:
        """Return the health of each target."""
        home = self._home.targets.target_health(owner, self._home.name)
        alternate = self._alternate.targets.target_health(owner, self._alternate.name)
        return _paired(home, alternate).merged(self._share())

    def reconciled_health(self, owner: str, _group: str) -> tuple[TargetHealth, ...]:
        """Admit targets of both groups that have passed a check, and return the health of each."""
        home = self._home.targets.reconciled_health(owner, self._home.name)
        alternate = self._alternate.targets.reconciled_health(owner, self._alternate.name)
        self.seen = _paired(home, alternate)
        return self.seen.merged(self._share())

    def zones(self, owner: str, _group: str) -> tuple[str, ...]:
        """Return the zones of the home group. The other one has the same listeners."""
        return self._home.targets.zones(owner, self._home.name)

    def register(self, owner: str, _group: str, *targets: Target) -> None:
        """Add targets to the group that new ones belong to."""
        group = self._alternate if self.is_shifting else self._home
        group.targets.register(owner, group.name, *targets)

    def join(self, owner: str, names: Collection[str]) -> None:
        """Register targets of the alternate group in the home group too."""
        known = self._alternate.targets.target_health(owner, self._alternate.name)
        self._home.targets.register(owner, self._home.name, *(h.target for h in known if h.target.id in names))

    def leave(self, owner: str, pause: Callable[[float], None]) -> None:
        """Drain and remove the targets of the alternate group, which no forward has. See `MovingTargets.leave`."""
        self._moving.leave(owner, pause)

    def deregister(self, owner: str, group: str, target_id: str) -> None:
        """Stop new requests to a target, from both groups."""
        self._moving.deregister(owner, group, target_id)

    def abort_connections(self, owner: str, group: str, target_id: str) -> None:
        """Close the open requests of a target."""
        self._moving.abort_connections(owner, group, target_id)

    def remove_target(self, owner: str, group: str, target_id: str) -> None:
        """Remove a target from both groups."""
        self._moving.remove_target(owner, group, target_id)


def _paired(home: Collection[TargetHealth], alternate: Collection[TargetHealth]) -> PairedHealth:
    return PairedHealth({h.target.id: h for h in home}, {h.target.id: h for h in alternate})


def _merge(home: TargetHealth, alternate: TargetHealth, share: float) -> TargetHealth:
    """Return the health of a target of both groups.

    It drains if it drains in both: a process may have been killed between the two. Otherwise the one that does not
    drain decides, then the alternate group while it gets requests, then the home group. A target that gets requests
    must not look like one that was never healthy, which may be drained at any time.
    """
    seen = home
    if _is_leaving(home) != _is_leaving(alternate):
        seen = alternate if _is_leaving(home) else home
    elif _is_leaving(home):
        # The delay is over when it is over in both.
        seen = alternate if alternate.since.since(home.since) else home
    elif share:
        seen = alternate
    return seen.model_copy(update={"in_flight": home.in_flight + alternate.in_flight})


def _is_leaving(health: TargetHealth) -> bool:
    return health.state is TargetState.DRAINING

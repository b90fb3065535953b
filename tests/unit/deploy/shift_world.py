"""A service in two target groups, in memory, that does what a shifting deployment decides and checks its guarantees."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pipeline.balancer.model import Target, TargetHealth, TargetState
from pipeline.base.clock import Stamp
from pipeline.store.deployment_progress import ShiftPhase
from stages.deploy.decision import (
    ActionType,
    ContainerState,
    DesiredState,
    Observation,
    Replica,
    RolloutAction,
)
from stages.deploy.paired_targets import PairedHealth
from stages.deploy.shifting import Move, MoveType, ShiftDecision, ShiftObservation, Step, decide

_START = datetime(2026, 1, 1, tzinfo=UTC)
DELAY = timedelta(seconds=30)
_HOOK_TIME = timedelta(seconds=60)
FORWARD = (ShiftPhase.INSTALL, ShiftPhase.MIRROR, ShiftPhase.SHIFT, ShiftPhase.RETIRE, ShiftPhase.HOME)


@dataclass(frozen=True)
class FakeStep:
    """A step of a strategy."""

    percent: float
    bake_time: timedelta


@dataclass
class Membership:
    """One target in one group."""

    state: TargetState = TargetState.INITIAL
    in_flight: int = 0
    since: timedelta = timedelta(0)
    state_since: timedelta = timedelta(0)

    @property
    def admits(self) -> bool:
        """Whether it gets requests if its group does."""
        return self.state in (TargetState.HEALTHY, TargetState.UNHEALTHY)


@dataclass
class Container:
    """One container, and how its program behaves."""

    template: str
    good: bool = True
    running: bool = True
    started_here: bool = False
    settled: bool = False
    pending: bool = False
    begun: timedelta = timedelta(0)
    groups: dict[str, Membership] = field(default_factory=dict)


class ShiftWorld:
    """`old` replicas of the previous release in the home group, and a deployment of `new` ones of the next.

    `mirror` is the time in which the new release gets copies. `progress` is what is stored, so a kill loses everything
    else that the deployment knows. Fails if the deployment does what it must not do.
    """

    def __init__(
        self,
        steps: tuple[Step, ...],
        old: int,
        new: int,
        surge: int,
        unavailable: int,
        *,
        good: bool,
        mirror: timedelta = timedelta(0),
    ) -> None:
        self.steps = steps
        self.mirror = mirror
        self.good = good
        self.time = timedelta(0)
        patience = timedelta(seconds=30)
        self.new = DesiredState("new", new, surge, unavailable, DELAY, timedelta(seconds=60), patience)
        self.old = DesiredState("old", old, surge, unavailable, DELAY, timedelta(seconds=60))
        member = {"home": TargetState.HEALTHY}
        self.containers = {
            f"old{n}": Container("old", settled=True, groups={g: Membership(s) for g, s in member.items()})
            for n in range(old)
        }
        self.phase, self.step, self.baked = ShiftPhase.INSTALL, 0, timedelta(0)
        self.share, self.is_declared = 0.0, False
        self.in_phase_for = timedelta(0)
        self.alarm: str | None = None
        self.has_hook = self.is_in_hook = False
        self.hook_begun = timedelta(0)
        self.starting = 0
        self.serial = 0
        self.finished = False
        self.served: list[float] = []
        self.baked_at: dict[float, timedelta] = {}

    @property
    def desired(self) -> DesiredState:
        """The release that the deployment moves to now."""
        return self.old if self.phase is ShiftPhase.UNDO else self.new

    # What is seen

    def observe(self) -> ShiftObservation:
        """Return what the next decision is made from."""
        health = self._health()
        merged = {h.target.id: h for h in health.merged(self.share)}
        replicas = tuple(self._replica(name, merged.get(name)) for name in self.containers)
        return ShiftObservation(
            phase=self.phase,
            step=self.step,
            replicas=Observation(replicas, self.starting),
            home=frozenset(health.home),
            alternate=frozenset(health.alternate),
            healthy_at_home=frozenset(n for n, h in health.home.items() if self._serves(n, h)),
            share=self.share,
            is_declared=self.is_declared,
            baked=self.baked,
            in_phase_for=self.in_phase_for,
            alarm=self.alarm,
        )

    def _serves(self, name: str, health: TargetHealth) -> bool:
        return health.state is TargetState.HEALTHY and self.containers[name].running

    def _health(self) -> PairedHealth:
        home, alternate = (
            {n: self._target(n, c.groups[group]) for n, c in self.containers.items() if group in c.groups}
            for group in ("home", "alternate")
        )
        return PairedHealth(home, alternate)

    def _target(self, name: str, member: Membership) -> TargetHealth:
        since = Stamp(_START + member.since, "boot", member.since.total_seconds())
        target = Target(id=name, address="127.0.0.1", port=80)
        age = self.time - member.state_since
        return TargetHealth(target=target, state=member.state, in_flight=member.in_flight, since=since, state_age=age)

    def _replica(self, name: str, health: TargetHealth | None) -> Replica:
        found = self.containers[name]
        draining = health is not None and health.state is TargetState.DRAINING
        return Replica(
            name,
            found.template,
            ContainerState.RUNNING if found.running else ContainerState.EXITED,
            health.state if health else None,
            in_flight=health.in_flight if health else 0,
            not_healthy_for=self._waiting(found, health),
            draining_for=self.time - timedelta(seconds=health.since.seconds) if health and draining else timedelta(0),
            started_here=found.started_here,
            restart_policy_set=found.settled,
            action_pending=found.pending,
        )

    def _waiting(self, found: Container, health: TargetHealth | None) -> timedelta:
        """Return what `ReplicaSet` makes of it: only the age of a state that was healthy once is its own."""
        if health and health.state is TargetState.HEALTHY:
            return timedelta(0)
        is_new = found.started_here and not found.settled
        if health and health.state is TargetState.UNHEALTHY and not is_new:
            return health.state_age
        return self.time - found.begun

    def healthy_in(self, group: str) -> int:
        """Return how many targets of a group are healthy."""
        return sum(
            c.running and c.groups[group].state is TargetState.HEALTHY
            for c in self.containers.values()
            if group in c.groups
        )

    def gets_requests(self, group: str) -> bool:
        """Return whether requests go to a group."""
        return self.share > 0 if group == "alternate" else self.share < 100

    # What the deployment does

    def decide(self) -> ShiftDecision:
        """Decide once, and do what was decided, unless the release has failed: then the rollback begins.

        While a hook runs, the replicas are kept and the release is watched, and nothing moves.
        """
        found = decide(self.observe(), self.steps, self.desired, self.mirror)
        assert bool(found.actions) + bool(found.move) + bool(found.failure) + bool(found.alarm) <= 1
        if found.failure or found.alarm:
            if self.phase is ShiftPhase.UNDO:
                # The rollback has failed. The daemon tries it again, and knows nothing of this process.
                self.kill()
            self.undo()
        for action in found.actions:
            self.act(action)
        if found.move and not self.is_in_hook:
            self.move(found.move)
        return found

    def undo(self) -> None:
        """Begin a rollback."""
        if not self.finished:
            self.phase, self.alarm, self.in_phase_for = ShiftPhase.UNDO, None, timedelta(0)
            self.is_in_hook = False

    def move(self, move: Move) -> None:
        """Carry out a move."""
        match move.type:
            case MoveType.DECLARE:
                assert self.share == 0
                self.is_declared = True
            case MoveType.SET_SHARE:
                self._set_share(move.share)
            case MoveType.BEGIN:
                self._begin(move)
            case MoveType.JOIN:
                self._join(move.names)
            case MoveType.LEAVE:
                self._leave()
            case MoveType.DROP:
                assert not any("alternate" in c.groups for c in self.containers.values())
                assert self.share == 0
                self.is_declared = False
            case MoveType.FINISH:
                self._finish()

    def _registered(self) -> Membership:
        return Membership(since=self.time, state_since=self.time)

    def _join(self, names: frozenset[str]) -> None:
        for name in names:
            assert self.containers[name].template == self.desired.template
            self.containers[name].groups.setdefault("home", self._registered())

    def _leave(self) -> None:
        assert self.share == 0
        for container in self.containers.values():
            if container.groups.pop("alternate", None):
                assert "home" in container.groups, "a replica that is in no other group leaves this one"

    def _set_share(self, share: float) -> None:
        assert self.is_declared
        minimum, home, alternate = self.desired.min_healthy, self.healthy_in("home"), self.healthy_in("alternate")
        if share > self.share:
            assert alternate >= minimum, "the new release gets more requests than it can take"
            assert alternate == self.desired.replicas
        else:
            is_ready = home == self.desired.replicas or self.phase is ShiftPhase.UNDO
            assert is_ready, "the new release gets no requests where it is not healthy"
            assert home >= minimum or home >= max(1, alternate), "the home group gets more requests than it can take"
        self.share = share
        self.served.append(share)
        # A hook of AfterAllowTraffic, before the bake time of this step.
        self.is_in_hook = self.has_hook and self.phase is ShiftPhase.SHIFT and share == 100
        self.hook_begun = self.time

    def _begin(self, move: Move) -> None:
        assert self.phase in FORWARD
        assert FORWARD.index(move.phase) >= FORWARD.index(self.phase)
        if self.phase is ShiftPhase.INSTALL:
            assert move.phase is (ShiftPhase.MIRROR if self.mirror else ShiftPhase.SHIFT)
        if self.phase is ShiftPhase.MIRROR:
            assert move.phase is ShiftPhase.SHIFT
            assert self.baked >= self.mirror, "the copies end before their time"
            assert not self.served, "a release that gets copies has had requests"
        if self.phase is ShiftPhase.SHIFT:
            step = self.steps[self.step]
            assert self.share == step.percent
            assert self.baked >= step.bake_time, "a step ends before its bake time"
            assert (move.phase, move.step) in ((ShiftPhase.SHIFT, self.step + 1), (ShiftPhase.RETIRE, 0))
        if move.phase is ShiftPhase.RETIRE:
            assert self.share == 100
        self.phase, self.step, self.baked, self.in_phase_for = move.phase, move.step, timedelta(0), timedelta(0)

    def _finish(self) -> None:
        assert not self.is_declared, "the alternate group is left"
        assert not self.share
        want = self.desired
        assert [c.template for c in self.containers.values()] == [want.template] * want.replicas
        assert self.healthy_in("home") == want.replicas
        self.finished = True

    def act(self, action: RolloutAction) -> None:
        """Carry out an action on a replica."""
        if action.verb is ActionType.START:
            self.starting += 1
            return
        container = self.containers[action.name]
        assert not container.pending
        if self.phase in (ShiftPhase.INSTALL, ShiftPhase.MIRROR, ShiftPhase.SHIFT):
            assert "home" not in container.groups, f"{action.verb} {action.name}, a replica of the previous release"
        match action.verb:
            case ActionType.REGISTER:
                self._register(container)
            case ActionType.SET_RESTART_POLICY:
                container.settled = True
            case ActionType.DEREGISTER:
                self._deregister(action.name)
            case ActionType.ABORT:
                self._abort(container)
            case ActionType.STOP:
                self._stop(container)
            case ActionType.REMOVE:
                assert not container.running
                assert all(m.state is TargetState.DRAINING for m in container.groups.values())
                del self.containers[action.name]

    def _register(self, container: Container) -> None:
        is_new = self.phase in (ShiftPhase.INSTALL, ShiftPhase.MIRROR, ShiftPhase.SHIFT, ShiftPhase.RETIRE)
        assert self.is_declared or not is_new
        container.groups.setdefault("alternate" if is_new else "home", self._registered())

    def _abort(self, container: Container) -> None:
        for member in container.groups.values():
            assert member.state is TargetState.DRAINING
            assert self.time - member.since >= DELAY
            member.in_flight = 0

    def _stop(self, container: Container) -> None:
        for group, member in container.groups.items():
            assert member.state is TargetState.DRAINING, f"a container is stopped that may get requests of {group}"
            assert member.in_flight == 0 or self.time - member.since >= DELAY
        container.pending = True

    def _deregister(self, name: str) -> None:
        container = self.containers[name]
        for group, member in container.groups.items():
            if container.running and member.state is TargetState.HEALTHY and self.gets_requests(group):
                left = self.healthy_in(group) - 1
                assert left >= self.desired.min_healthy, f"{name} leaves {left} healthy in {group}"
            if member.state is not TargetState.DRAINING:
                member.state, member.since = TargetState.DRAINING, self.time

    # What happens by itself

    def start_returns(self) -> None:
        """A container that was started runs."""
        self.starting -= 1
        self.serial += 1
        template = self.desired.template
        good = self.good or template == "old"
        self.containers[f"{template}{self.serial}"] = Container(template, good=good, started_here=True, begun=self.time)

    def check(self, name: str, *, passes: bool) -> None:
        """A health check of a container passes or fails, in all its groups."""
        for group in self.containers[name].groups:
            self.check_in(name, group, passes=passes)

    def check_in(self, name: str, group: str, *, passes: bool) -> None:
        """A health check of a container passes or fails in one group."""
        container = self.containers[name]
        member = container.groups.get(group)
        if member is None:
            return
        if passes and container.good and container.running and member.state in _UNWELL:
            member.state, member.state_since = TargetState.HEALTHY, self.time
        elif not passes and member.state is TargetState.HEALTHY:
            member.state, member.state_since = TargetState.UNHEALTHY, self.time

    def request(self, name: str, group: str, *, ends: bool) -> None:
        """A request comes to a target, or one ends."""
        member = self.containers[name].groups.get(group)
        if member is None:
            return
        if ends:
            member.in_flight = max(0, member.in_flight - 1)
        elif member.admits and self.gets_requests(group):
            member.in_flight += 1

    def stop_returns(self, name: str) -> None:
        """A container that was told to stop has ended."""
        self.containers[name].pending, self.containers[name].running = False, False

    def pass_time(self, seconds: int) -> None:
        """Let time pass. The deployment counts it as served, as a process does that looks all the time."""
        self.time += timedelta(seconds=seconds)
        is_step = self.phase is ShiftPhase.SHIFT and self.share == self.steps[self.step].percent
        if (is_step and not self.is_in_hook) or self.phase is ShiftPhase.MIRROR:
            self.baked += timedelta(seconds=seconds)
        self.in_phase_for += timedelta(seconds=seconds)

    def kill(self) -> None:
        """Kill the process of the deployment. The next one knows what is stored, and nothing else."""
        self.starting = 0
        self.alarm = None
        self.in_phase_for = timedelta(0)
        for container in self.containers.values():
            container.started_here = container.settled = container.pending = False

    def settled(self) -> None:
        """Let each replica have its restart policy."""
        for container in self.containers.values():
            container.settled = True

    def settle(self) -> None:
        """Let everything that takes a while be done, and the world behave."""
        while self.starting:
            self.start_returns()
        for name, container in list(self.containers.items()):
            if container.pending:
                self.stop_returns(name)
            for member in container.groups.values():
                member.in_flight = 0
            self.check(name, passes=True)
        self.pass_time(10)
        self.is_in_hook &= self.time - self.hook_begun < _HOOK_TIME


_UNWELL = (TargetState.INITIAL, TargetState.UNHEALTHY)

"""The rollout of a service whose traffic moves in steps: it observes, decides, acts and stores how far it is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial

from pipeline.base.clock import Clock
from pipeline.base.errors import PenstockError
from pipeline.events import Events
from pipeline.store.deployment_progress import ServiceProgress, ShiftPhase
from stages.deploy.alternate_group import AlternateGroup
from stages.deploy.decision import DesiredState, Observation, RolloutDecision, Strategy
from stages.deploy.executor import ReleaseFailed, RolloutExecutor
from stages.deploy.fault_wait import FaultWait
from stages.deploy.hook_watch import run_watched
from stages.deploy.judge import Judge, Mirroring, NoJudge
from stages.deploy.lifecycle import Lifecycle, LifecycleEvent, NoHooks, is_done
from stages.deploy.moving_targets import wait_unless_cancelled
from stages.deploy.paired_targets import PairedTargets
from stages.deploy.replicas import ReplicaSet
from stages.deploy.shift_goal import ShiftGoal
from stages.deploy.shift_report import ShiftReport
from stages.deploy.shifting import Move, MoveType, ShiftDecision, ShiftObservation, can_return, decide
from stages.deploy.step_watch import LOOK_INTERVAL, StepWatch
from stages.deploy.stored_progress import StoredProgress

_ALL = 100.0
_WITHOUT_TRAFFIC = (ShiftPhase.INSTALL, ShiftPhase.MIRROR)


class ShiftRollout:
    """One rollout of a service through its alternate group, forwards or back.

    `stored` keeps its progress; a rollback needs none. `owner` is that of the groups. `judge` returns the judge of the
    new release, and is called when it receives traffic. `mirroring` returns what copies requests to it before that.
    """

    def __init__(
        self,
        goal: ShiftGoal,
        replicas: ReplicaSet,
        targets: PairedTargets,
        alternate: AlternateGroup,
        events: Events,
        *,
        owner: str,
        clock: Clock,
        cancelled: threading.Event | None = None,
        stored: StoredProgress | None = None,
        judge: Callable[[], Judge] = NoJudge,
        mirroring: Callable[[], Mirroring] | None = None,
        hooks: Lifecycle | None = None,
    ) -> None:
        self._goal = goal
        self._replicas = replicas
        self._targets = targets
        self._alternate = alternate
        self._events = events
        self._owner = owner
        self._clock = clock
        self._cancelled = cancelled or threading.Event()
        self._stored = stored
        self._judge = judge
        self._make_mirroring = mirroring
        self._mirroring: Mirroring | None = None
        self._hooks = hooks or NoHooks()
        self._report = ShiftReport(events, goal.service, goal.spec.release, alternate.name, goal.mirror)
        self._hooks_done, self._is_resumed = "", False
        name = f"{goal.service} of release {goal.spec.release}"
        self._faults = FaultWait(name, goal.desired.deploy_timeout, events, clock)
        self._entered_at = clock.monotonic()
        self._watch = self._watched(self._at(ShiftPhase.UNDO, 0))

    def run(self) -> None:
        """Move to the new release, from the stored step on. Raises as `RolloutExecutor.run`, and what a hook raises."""
        try:
            self._run()
        finally:
            self._stop_mirroring()

    def _run(self) -> None:
        found = self._stored.of(self._goal.service) if self._stored else None
        if found is None:
            self._hooks.run(LifecycleEvent.BEFORE_INSTALL)
            self._hooks_done = LifecycleEvent.BEFORE_INSTALL
            self._begin(ShiftPhase.INSTALL, 0)
        else:
            self._resume(found)
        self._until_finished()
        self._begin(ShiftPhase.DONE, 0)

    def undo(self) -> None:
        """Give the home group all requests and the wanted replicas, and remove the alternate group."""
        self._until_finished()

    def return_traffic(self) -> None:
        """Take all requests back to the home group, and return. Starts replicas first if it has too few."""
        while self._alternate.share:
            self._carry_out(self._next_move())

    def _resume(self, found: ServiceProgress) -> None:
        self._is_resumed = True
        self._hooks_done = found.hooks_done
        self._watch = self._watched(found)
        self._report.resumed(found)
        # The process may have died in the hook.
        if found.phase is ShiftPhase.SHIFT and self._alternate.share == found.share == _ALL:
            self._run_hooks(LifecycleEvent.AFTER_ALLOW_TRAFFIC)

    def _until_finished(self) -> None:
        while (move := self._next_move()).type is not MoveType.FINISH:
            self._carry_out(move)

    def _next_move(self) -> Move:
        """Act on replicas until a move is due. A short fault ends no step that bakes."""
        return self._faults.run(self._act, self._cancelled, lambda: self._is_baking)

    def _act(self) -> Move:
        phase = _PhaseStrategy(self)
        self._executor(phase).run()
        assert phase.move is not None
        return phase.move

    def _executor(self, strategy: Strategy) -> RolloutExecutor:
        self._targets.is_shifting = self._watch.progress.phase not in (ShiftPhase.HOME, ShiftPhase.UNDO)
        return RolloutExecutor(
            self._replicas,
            self._goal.desired,
            strategy,
            self._events,
            spec=self._goal.spec,
            restart=self._goal.restart,
            cancelled=self._cancelled,
            wait=self._wait,
            healthy_text="is healthy",
        )

    def decide(self, seen: Observation, *, is_in_hook: bool = False) -> ShiftDecision:
        """Return what follows from an observation of the replicas. The time of a hook is no bake time."""
        health, progress = self._targets.seen, self._watch.progress
        running = {replica.name for replica in seen.replicas if replica.is_running}
        observed = ShiftObservation(
            phase=progress.phase,
            step=progress.step,
            replicas=seen,
            home=frozenset(health.home),
            alternate=frozenset(health.alternate),
            healthy_at_home=frozenset(n for n, h in health.home.items() if n in running and h.state == "healthy"),
            share=self._alternate.share,
            is_declared=self._alternate.is_declared,
            in_phase_for=timedelta(seconds=self._clock.monotonic() - self._entered_at),
        )
        alarm = self._look(observed, is_in_hook=is_in_hook)
        observed = replace(observed, alarm=alarm, baked=self._watch.progress.baked)
        # Only now: a store that fails at each look of the watch is a fault that lasts.
        self._faults.is_over()
        found = decide(observed, self._goal.steps, self._goal.desired, self._goal.mirror_time)
        if is_in_hook and (found.alarm or found.failure):
            self._return_early(observed)
        return found

    def _return_early(self, seen: ShiftObservation) -> None:
        """Give the home group all requests before the hook has ended, which may take its `stop_grace`."""
        # The rollback that follows meets the same fault, and reports it.
        with suppress(PenstockError):
            if is_possible := can_return(seen, self._goal.desired):
                # First, because the store may fail too.
                self._alternate.set_share(0.0)
            # If the process dies before the hook has ended, nothing gives the release its share again.
            self._store(replace(self._watch.progress, phase=ShiftPhase.UNDO))
            if is_possible:
                self._report.returned()

    def _look(self, seen: ShiftObservation, *, is_in_hook: bool) -> str | None:
        """Watch a step that gets requests, or copies of them, and return the alarm of its judge."""
        if seen.phase not in (ShiftPhase.MIRROR, ShiftPhase.SHIFT):
            return None
        if seen.phase is ShiftPhase.SHIFT and not seen.share:
            # A process that died may have taken the requests back because of an alarm.
            return self._watch.alarm() if self._is_resumed else None
        if is_in_hook:
            return self._watch.alarm()
        new = [r for r in seen.replicas.replicas if r.name in seen.alternate and r.healthy]
        is_enough = len(new) >= max(1, self._goal.desired.min_healthy)
        return self._watch.look(serves=is_enough and seen.share == self._watch.progress.share)

    @property
    def _is_baking(self) -> bool:
        progress = self._watch.progress
        is_timed = progress.phase in (ShiftPhase.MIRROR, ShiftPhase.SHIFT)
        return is_timed and self._alternate.share == progress.share

    def _wait(self, seconds: float) -> None:
        if self._is_baking:
            seconds = max(seconds, min(self._watch.left, LOOK_INTERVAL).total_seconds())
        self._clock.wait(self._cancelled, timedelta(seconds=seconds))

    def _carry_out(self, move: Move) -> None:
        match move.type:
            case MoveType.DECLARE:
                self._report.installing(self._goal.desired.replicas)
                self._alternate.set_share(0.0)
                assert self._alternate.is_declared, "a listener forwards to the home group of each service"
            case MoveType.SET_SHARE:
                self._set_share(move.share)
            case MoveType.BEGIN:
                self._end_phase(move)
                self._begin(move.phase, move.step)
            case MoveType.JOIN:
                self._targets.join(self._owner, move.names)
            case MoveType.LEAVE:
                self._targets.leave(self._owner, partial(wait_unless_cancelled, self._cancelled))
            case MoveType.DROP:
                self._alternate.drop()
                self._report.dropped()

    def _set_share(self, share: float) -> None:
        self._alternate.set_share(share)
        self._report.shifted(self._watch.progress, share)
        if self._watch.progress.phase is ShiftPhase.SHIFT and share == _ALL:
            self._run_hooks(LifecycleEvent.AFTER_ALLOW_TRAFFIC)

    def _end_phase(self, move: Move) -> None:
        """Do what ends a phase, before the next one is stored."""
        if self._watch.progress.phase is ShiftPhase.INSTALL:
            self._report.installed()
            self._run_hooks(LifecycleEvent.AFTER_INSTALL)
            if self._goal.has_test_traffic:
                self._run_hooks(LifecycleEvent.AFTER_ALLOW_TEST_TRAFFIC)
        if self._watch.progress.phase is ShiftPhase.MIRROR:
            self._watch.check_alarm()
            self._report.mirrored(self._mirror().summary())
            self._stop_mirroring()
        if move.phase is ShiftPhase.SHIFT and move.step == 0:
            # Before the health of the release is decided about, because a hook may take hours.
            self._run_hooks(LifecycleEvent.BEFORE_ALLOW_TRAFFIC)
        if self._watch.progress.phase is ShiftPhase.SHIFT:
            self._judge_step(is_last=move.phase is ShiftPhase.RETIRE)

    def _judge_step(self, *, is_last: bool) -> None:
        """Let the judge end a step. It wants enough requests at the end of the last bake time, before more may come."""
        steps = self._goal.steps
        deciding = max((number for number, step in enumerate(steps) if step.bake_time), default=len(steps) - 1)
        if self._watch.progress.step == deciding:
            self._watch.check_end()
        elif is_last or self._watch.is_behind:
            self._watch.check_alarm()

    def _mirror(self) -> Mirroring:
        """Return what copies requests to the new release, the same until it is stopped."""
        assert self._make_mirroring is not None, "a rollout of a strategy with `mirror` can copy requests"
        self._mirroring = self._mirroring or self._make_mirroring()
        return self._mirroring

    def _stop_mirroring(self) -> None:
        if self._mirroring:
            self._mirroring.stop()
            self._mirroring = None

    def _run_hooks(self, event: LifecycleEvent) -> None:
        """Run the hooks of an event, unless a process that has died has done so."""
        if is_done(event, self._hooks_done):
            return
        if self._alternate.share:
            watching = self._executor(_PhaseStrategy(self, is_in_hook=True))
            run_watched(self._hooks, event, watching, self._faults, self._cancelled, self._clock)
        else:
            self._hooks.run(event)
        self._hooks_done = event
        self._watch.progress = replace(self._watch.progress, hooks_done=event)
        self._store(self._watch.progress)

    def _begin(self, phase: ShiftPhase, step: int) -> None:
        """Store the next phase or step, before anything is done for it."""
        progress = self._at(phase, step)
        self._store(progress)
        self._entered_at = self._clock.monotonic()
        self._watch.end()
        self._watch = self._watched(progress)
        self._report.began(progress)

    def _watched(self, progress: ServiceProgress) -> StepWatch:
        judge = self._mirror if progress.phase is ShiftPhase.MIRROR else self._judge
        if self._stored is None:
            return StepWatch(self._clock, judge, progress, self._store)
        wait = self._stored.bake_wait(progress, self._events, self._clock)
        was_promoted = partial(self._stored.was_promoted, progress.service)
        return StepWatch(self._clock, judge, progress, self._store, wait, was_promoted)

    def _at(self, phase: ShiftPhase, step: int) -> ServiceProgress:
        steps = self._goal.steps
        baking = steps[step] if phase is ShiftPhase.SHIFT else None
        mirror_time = self._goal.mirror_time if phase is ShiftPhase.MIRROR else timedelta(0)
        return ServiceProgress(
            service=self._goal.service,
            strategy=self._goal.strategy,
            phase=phase,
            since=self._clock.now(),
            step=step,
            steps=len(steps),
            share=baking.percent if baking else 0.0 if phase in _WITHOUT_TRAFFIC else _ALL,
            bake_time=baking.bake_time if baking else mirror_time,
            hooks_done=self._hooks_done,
        )

    def _store(self, progress: ServiceProgress) -> None:
        if self._stored:
            self._stored.set(progress)


class _PhaseStrategy:
    """Lets a `RolloutExecutor` act on replicas until a move is due."""

    def __init__(self, rollout: ShiftRollout, *, is_in_hook: bool = False) -> None:
        self._rollout = rollout
        self._is_in_hook = is_in_hook
        self.move: Move | None = None

    def decide(self, seen: Observation, _desired: DesiredState) -> RolloutDecision:
        """Return the next actions. Raises `ReleaseFailed` if the judge has found an alarm."""
        found = self._rollout.decide(seen, is_in_hook=self._is_in_hook)
        if found.alarm:
            raise ReleaseFailed(found.alarm)
        self.move = found.move
        return RolloutDecision(found.actions, found.failure, converged=found.move is not None)

"""The bake time of a rolling deployment: all replicas are replaced, and the release may still be rolled back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

from pipeline.base.clock import Clock
from pipeline.base.quantity import format_duration
from pipeline.event_kinds import EventKind
from pipeline.events import Events
from pipeline.store.deployment_progress import ServiceProgress, ShiftPhase
from stages.deploy.decision import DesiredState, Observation, RolloutDecision, Strategy
from stages.deploy.executor import ReleaseFailed, RolloutExecutor
from stages.deploy.fault_wait import FaultWait
from stages.deploy.hook_watch import run_watched
from stages.deploy.judge import Judge
from stages.deploy.lifecycle import Lifecycle, LifecycleEvent, is_done
from stages.deploy.step_watch import LOOK_INTERVAL, StepWatch
from stages.deploy.stored_progress import StoredProgress

_HOOKS = LifecycleEvent.AFTER_ALLOW_TRAFFIC


class RollingBake:
    """A strategy that keeps the replicas of another one, and converges when the bake time is over.

    Its progress is stored when it is made, so a process that continues knows of it, and waits for what is left.
    """

    def __init__(
        self,
        rolling: Strategy,
        service: str,
        release: int,
        bake_time: timedelta,
        fault_timeout: timedelta,
        *,
        clock: Clock,
        cancelled: threading.Event,
        events: Events,
        stored: StoredProgress,
        judge: Callable[[], Judge],
    ) -> None:
        self._rolling = rolling
        self._clock = clock
        self._cancelled = cancelled
        self._events = events
        self._stored = stored
        self._release = release
        found = stored.of(service)
        is_known = found is not None and found.phase is ShiftPhase.BAKE
        progress = found if found and is_known else self._begun(service, bake_time)
        wait = stored.bake_wait(progress, events, clock)
        self._watch = StepWatch(clock, judge, progress, stored.set, wait, partial(stored.was_promoted, service))
        self._faults = FaultWait(f"{service} of release {release}", fault_timeout, events, clock)
        if not is_known:
            stored.set(progress)

    def _begun(self, service: str, bake_time: timedelta) -> ServiceProgress:
        return ServiceProgress(
            service,
            "rolling",
            ShiftPhase.BAKE,
            self._clock.now(),
            steps=1,
            share=100.0,
            bake_time=bake_time,
            hooks_done=LifecycleEvent.BEFORE_INSTALL,
        )

    def run(self, executor: RolloutExecutor, hooks: Lifecycle) -> None:
        """Run the last hooks, and let the release bake, with the executor of this strategy.

        One executor for the whole time, because it counts failures for the circuit breaker. A short fault ends nothing.
        Raises `ReleaseFailed` if the judge does not let the release pass, and what a hook raises.
        """
        if not self._are_hooks_done:
            run_watched(hooks, _HOOKS, executor, self._faults, self._cancelled, self._clock)
            self._begin()
        self._faults.run(executor.run, self._cancelled, lambda: True)
        self._finish()

    @property
    def _are_hooks_done(self) -> bool:
        return is_done(_HOOKS, self._watch.progress.hooks_done)

    def _begin(self) -> None:
        self._watch.progress = progress = replace(self._watch.progress, hooks_done=_HOOKS)
        self._stored.set(progress)
        name, bakes = f"{progress.service} of release {self._release}", format_duration(progress.bake_time)
        text = f"{name} has replaced all containers, and bakes for {bakes}"
        seconds = progress.bake_time.total_seconds()
        self._events.emit(
            EventKind.BAKE_STARTED, text, service=progress.service, release=self._release, bake_time=seconds
        )

    def decide(self, seen: Observation, desired: DesiredState) -> RolloutDecision:
        """Return the next actions. Raises `ReleaseFailed` if the judge has found an alarm."""
        found = self._rolling.decide(seen, desired)
        healthy = sum(replica.healthy and replica.template == desired.template for replica in seen.replicas)
        is_enough = healthy >= max(1, desired.min_healthy)
        alarm = self._watch.look(serves=is_enough) if self._are_hooks_done else self._watch.alarm()
        self._faults.is_over()
        if alarm:
            raise ReleaseFailed(alarm)
        return found if not self._watch.left else RolloutDecision(found.actions, found.failure, counted=found.counted)

    def wait(self, seconds: float) -> None:
        """Wait until the next look, or until the deployment is cancelled."""
        left = min(self._watch.left, LOOK_INTERVAL)
        self._clock.wait(self._cancelled, max(timedelta(seconds=seconds), left))

    def _finish(self) -> None:
        self._watch.check_end()
        self._watch.end()
        progress = self._watch.progress
        self._stored.set(ServiceProgress(progress.service, "rolling", ShiftPhase.DONE, self._clock.now()))
        text = f"the bake time of {progress.service} is over"
        self._events.emit(EventKind.BAKE_FINISHED, text, service=progress.service, release=self._release)

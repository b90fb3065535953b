"""Watches one step of a deployment: the time that it has served, and what the judge says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from pipeline.alarms.decision import decide
from pipeline.base.clock import Clock
from pipeline.store.deployment_progress import ServiceProgress
from stages.deploy.bake_wait import BakeWait
from stages.deploy.executor import ReleaseFailed
from stages.deploy.judge import Judge, Judgement

LOOK_INTERVAL = timedelta(seconds=1)
"""Time between two looks of the judge."""
# A process that was stopped for longer has not looked at the release, and neither has its judge.
_LONGEST_GAP = timedelta(seconds=5)
# How often the served time is stored. A kill loses at most this much of it.
_STORE_INTERVAL = timedelta(seconds=5)


class StepWatch:
    """Watches the step `progress`, from the time that it has served already. `store` keeps that time.

    Only time between two looks at both of which the release served counts. That leaves out the time before this process
    continued, while it was stopped, and while the machine slept. So a release bakes for at least the time that was
    asked for. `judge` is called at the first look. `wait` lets a user end the bake time. `was_promoted` says whether
    one has ended it in this step or an earlier one.
    """

    def __init__(
        self,
        clock: Clock,
        judge: Callable[[], Judge],
        progress: ServiceProgress,
        store: Callable[[ServiceProgress], None],
        wait: BakeWait | None = None,
        was_promoted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._clock = clock
        self._judge = judge
        self._store = store
        self._wait = wait
        self._was_promoted = was_promoted
        self.progress = progress
        """The step, with the time that it has served until now."""
        self._last: float | None = None
        self._judged_at = self._stored_at = float("-inf")
        self._alarm: str | None = None
        self.is_behind = False
        """Whether the judge has more records to take, as after a kill some hours ago."""

    @property
    def left(self) -> timedelta:
        """The bake time that is left."""
        return max(timedelta(0), self.progress.bake_time - self.progress.baked)

    def look(self, *, serves: bool) -> str | None:
        """Count the time since the last look. Return the alarm of the judge, or None."""
        now = self._clock.monotonic()
        if serves and self._last is not None:
            passed = min(timedelta(seconds=now - self._last), _LONGEST_GAP)
            self.progress = replace(self.progress, baked=self.progress.baked + passed)
        self._last = now if serves else None
        self._judge_at(now)
        if self._alarm is None:
            # A store that fails must hide no alarm, so it comes last.
            self._keep(now)
        return self._alarm

    def alarm(self) -> str | None:
        """Return the alarm of the judge, or None. The bake time has not begun, so none is counted or promoted."""
        self._judge_at(self._clock.monotonic())
        return self._alarm

    def _judge_at(self, now: float) -> None:
        if now - self._judged_at >= LOOK_INTERVAL.total_seconds():
            found = self._judge().look()
            self._judged_at, self._alarm, self.is_behind = now, found.alarm, not found.is_complete

    def _keep(self, now: float) -> None:
        """Store the served time now and then, and find out whether a user has ended the bake time."""
        if now - self._stored_at >= _STORE_INTERVAL.total_seconds():
            self._store(self.progress)
            self._stored_at = now
        if now == self._judged_at:
            self._promote()

    def _promote(self) -> None:
        """Count the whole bake time as served once a user has ended it."""
        if self.left and self._wait is not None and self._wait.is_promoted():
            self.progress = replace(self.progress, baked=self.progress.bake_time)
            self._store(self.progress)

    def end(self) -> None:
        """End the wait for the bake time."""
        if self._wait is not None:
            self._wait.end()

    def check_alarm(self) -> None:
        """Raise `ReleaseFailed` if the judge finds an alarm in the records so far."""
        self._judge_rest()

    def check_end(self) -> None:
        """Raise `ReleaseFailed` if the judge does not let the release pass at the end of its last bake time.

        A user who has ended a bake time does not wait for more requests.
        """
        found = self._judge_rest()
        if self._was_promoted():
            return
        outcome = decide(found.verdicts, found.insufficient_data, bake_time_over=True)
        if outcome.action == "rollback":
            text = "too little data at the end of the bake time, with insufficient_data: rollback"
            raise ReleaseFailed(f"{text}: {'; '.join(outcome.reasons)}")

    def _judge_rest(self) -> Judgement:
        """Return the judgement on all records so far. A judge ends its look if the deployment is cancelled."""
        while not (found := self._judge().look()).is_complete and not found.alarm:
            pass
        if found.alarm:
            raise ReleaseFailed(found.alarm)
        self.is_behind = False
        return found

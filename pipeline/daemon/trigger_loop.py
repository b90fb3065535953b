"""The triggers of one pipeline. A schedule queues a run. All others lead to a scan of the refs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import structlog

from pipeline.base.backoff import Backoff
from pipeline.base.clock import Clock
from pipeline.base.errors import PenstockError
from pipeline.base.local_zone import local_zone
from pipeline.daemon.ref_watch import UNWATCHED_INTERVAL, RefWatch, Scans
from pipeline.event_kinds import EventKind
from pipeline.runner.context import PipelineContext
from pipeline.runner.ref_tracker import RefTracker
from pipeline.store.queue import RunRequest
from pipeline.store.records import RunOptions, Trigger
from pipeline.triggers.schedule import DueTime, Schedule

# A scan that failed for a change that the watch reported is repeated at least this often.
_FALLBACK_INTERVAL = timedelta(minutes=1)
_MAX_SKIPPED = 9
# The schedule is checked at least this often, because the wall clock may jump.
_MAX_SCHEDULE_WAIT = timedelta(seconds=20)
# Without it, a wait that ends slightly early would repeat many times before the due time.
_MIN_WAIT = timedelta(milliseconds=10)
# Scans of a failing remote repository get rarer. The jitter spreads those of many pipelines.
_MAX_BACKOFF = timedelta(minutes=15)
_JITTER = 0.1
_logger = structlog.get_logger(__name__)


class TriggerLoop:
    """Scans the refs of one pipeline when a trigger requests it. `step` is called repeatedly, `notify` by any thread.

    `on_notify` is called when `step` should be called before its interval has passed.
    """

    def __init__(
        self,
        pipeline_context: Callable[[], PipelineContext],
        ref_tracker: RefTracker,
        clock: Clock,
        on_notify: Callable[[], None] = lambda: None,
    ) -> None:
        self._pipeline_context = pipeline_context
        self._ref_tracker = ref_tracker
        self._clock = clock
        self._on_notify = on_notify
        self._notified = threading.Event()
        self._trigger: Trigger | None = None
        self._restarting = threading.Event()
        self._last_reported = ""
        self._state: _Waiting | None = None

    def notify(self, trigger: Trigger | None) -> None:
        """Request a scan. Requests before the next scan count as one. Safe to call from any thread.

        New commits count as found by `trigger`, or by the scans that nobody requests if it is None.
        """
        self._trigger = trigger
        self._notified.set()
        self._on_notify()

    def restart(self) -> None:
        """Start again with the current configuration, and scan. Safe to call from any thread."""
        self._restarting.set()
        self._on_notify()

    def step(self) -> timedelta:
        """Watch the repository if that is not done yet, scan if it is due, and return the time until the next call."""
        try:
            return self._step()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the watch. The next step would start again."""
        if self._state is not None:
            self._state.watch.close()
            self._state = None

    def _step(self) -> timedelta:
        if self._restarting.is_set():
            self._restarting.clear()
            self.close()
        clock, state = self._clock, self._state or self._started()
        if renewed := state.watch.renew():
            state.scan_as(renewed, clock.monotonic())
        if self._notified.is_set() or clock.monotonic() >= state.due:
            is_requested = self._notified.is_set()
            trigger = self._trigger if is_requested else None
            self._notified.clear()
            if is_requested or not state.is_unchanged():
                # A stamp looks at every ref: with 50,000, a fifth of a second that a new commit would wait.
                stamp = None if is_requested else state.watch.stamp()
                succeeded = self._scan(trigger or state.usual)
                state.backoff = state.backoff.after(succeeded=succeeded)
                state.scanned(stamp if succeeded else None)
            state.due = clock.monotonic() + _delay(state.backoff, state.usual).total_seconds()
        state.schedule, due_time = state.schedule.advance(clock.now().wall)
        if due_time:
            self._run_on_schedule(due_time)
        times = [self._until(state.due), self._until_due_time(state.schedule)]
        if (interval := state.watch.check_interval) is not None:
            times.append(interval)
        return max(_MIN_WAIT, min(times))

    def _started(self) -> _Waiting:
        clock, triggers = self._clock, self._pipeline_context().configuration.pipeline.triggers
        entries = triggers.schedule
        schedule = Schedule(
            tuple(entry.cron for entry in entries),
            local_zone(),
            clock.now().wall,
            rebuilds=frozenset(entry.cron for entry in entries if entry.rebuild),
            pulls=frozenset(entry.cron for entry in entries if entry.pull),
            uncached=frozenset(entry.cron for entry in entries if entry.no_cache),
        )
        watch = RefWatch(self._pipeline_context, lambda: self.notify(Trigger.WATCH))
        self._state = state = _Waiting(watch, schedule)
        state.scan_as(watch.start(), clock.monotonic())
        return state

    def _until(self, due: float) -> timedelta:
        return timedelta(seconds=due - self._clock.monotonic())

    def _until_due_time(self, schedule: Schedule) -> timedelta:
        due_time = schedule.next()
        return min(_MAX_SCHEDULE_WAIT, due_time.at - self._clock.now().wall) if due_time else _MAX_SCHEDULE_WAIT

    def _scan(self, trigger: Trigger) -> bool:
        try:
            self._ref_tracker.scan(trigger)
        except PenstockError as error:
            # Emitted once per reason, so a remote that is down for a night does not fill the history.
            if error.message != self._last_reported:
                self._pipeline_context().events().emit(
                    EventKind.TRIGGER_FAILED, f"cannot scan for new commits: {error.message}"
                )
                self._last_reported = error.message
            return False
        except Exception:
            _logger.exception("internal error in a scan for new commits")
            return False
        self._last_reported = ""
        return True

    def _run_on_schedule(self, due: DueTime) -> None:
        context = self._pipeline_context()
        options = RunOptions(
            configuration="commit",
            force=due.rebuild or due.pull or due.no_cache,
            rebuild=due.rebuild,
            pull=due.pull,
            no_cache=due.no_cache,
        )
        try:
            queued = self._ref_tracker.enqueue(RunRequest(Trigger.SCHEDULE, options=options))
            dropped = "" if queued else ", but its previous run is still in the queue"
            context.events().emit(EventKind.TRIGGER_SCHEDULE, f"schedule due: {due.expression}{dropped}")
        except PenstockError as error:
            _logger.warning("scheduled run not queued", schedule=due.expression, error=error.message)


@dataclass
class _Waiting:
    """What the loop waits for: changes, the time `due` of the next scan, and the schedule.

    A scan that no trigger requests counts as the trigger `usual`.
    """

    watch: RefWatch
    schedule: Schedule
    backoff: Backoff = field(default_factory=lambda: _polling(_FALLBACK_INTERVAL))
    usual: Trigger = Trigger.WATCH
    due: float = 0.0
    stamp: int | None = None
    skipped: int = 0

    def is_unchanged(self) -> bool:
        """Return whether a scan may be left out, because no file with refs has changed since the last.

        The tenth scan is never left out, for what the files do not show.
        """
        if self.usual is not Trigger.WATCH or self.stamp is None or self.skipped >= _MAX_SKIPPED:
            return False
        self.skipped += 1
        return self.stamp == self.watch.stamp()

    def scanned(self, stamp: int | None) -> None:
        """Record what `RefWatch.stamp` returned before a scan. None: unknown, so the next scan is not left out."""
        self.stamp, self.skipped = stamp, 0

    def scan_as(self, scans: Scans, now: float) -> None:
        """Scan now, and from now on as `scans` says."""
        self.backoff, self.usual, self.due = _polling(scans.interval), scans.trigger, now


def _polling(interval: timedelta) -> Backoff:
    return Backoff(interval, max(interval, _MAX_BACKOFF), _JITTER)


def _delay(backoff: Backoff, usual: Trigger) -> timedelta:
    """Return the time until the next scan if no trigger requests one earlier."""
    if usual is Trigger.WATCH and backoff.failures:
        # A scan of a local repository is cheap, and the failed one may have been for a change that the watch reported.
        return replace(Backoff(UNWATCHED_INTERVAL, _FALLBACK_INTERVAL), failures=backoff.failures - 1).delay()
    return backoff.delay()

"""The triggers of one pipeline. A schedule queues a run. All others lead to a scan of the refs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import structlog

from pipeline.base.backoff import Backoff
from pipeline.base.clock import Clock
from pipeline.base.errors import PenstockError
from pipeline.daemon.ref_watch import UNWATCHED_INTERVAL, RefWatch
from pipeline.event_kinds import EventKind
from pipeline.runner.context import PipelineContext
from pipeline.runner.ref_tracker import RefTracker
from pipeline.store.queue import RunRequest
from pipeline.store.records import RunOptions, Trigger
from pipeline.triggers.schedule import DueTime, Schedule
from pipeline.triggers.time_zone import local_zone

# A scan that failed for a change that the watch reported is repeated at least this often.
_FALLBACK_INTERVAL = timedelta(minutes=1)
# The schedule is checked at least this often, because the wall clock may jump.
_MAX_SCHEDULE_WAIT = timedelta(seconds=20)
# Without it, a wait that ends slightly early would repeat many times before the due time.
_MIN_WAIT = timedelta(milliseconds=10)
# Scans of a failing remote repository get rarer. The jitter spreads those of many pipelines.
_MAX_BACKOFF = timedelta(minutes=15)
_JITTER = 0.1
_logger = structlog.get_logger(__name__)


class TriggerLoop:
    """Scans the refs of one pipeline when a trigger requests it, in a thread."""

    def __init__(self, pipeline_context: Callable[[], PipelineContext], ref_tracker: RefTracker, clock: Clock) -> None:
        self._pipeline_context = pipeline_context
        self._ref_tracker = ref_tracker
        self._clock = clock
        self._notified = threading.Event()
        self._trigger = Trigger.WATCH
        self._stopping = threading.Event()
        self._last_reported = ""

    def notify(self, trigger: Trigger) -> None:
        """Request a scan. Requests before the next scan count as one. Safe to call from any thread."""
        self._trigger = trigger
        self._notified.set()

    def stop(self) -> None:
        """Request the end of `run_forever`. Returns immediately."""
        self._stopping.set()
        self._notified.set()

    def run_forever(self) -> None:
        """Run until `stop`."""
        clock, triggers = self._clock, self._pipeline_context().configuration.pipeline.triggers
        rebuilds = frozenset(entry.cron for entry in triggers.schedule if entry.rebuild)
        crons = tuple(entry.cron for entry in triggers.schedule)
        schedule = Schedule(crons, local_zone(), clock.now().wall, rebuilds)
        with RefWatch(self._pipeline_context, lambda: self.notify(Trigger.WATCH)) as watch:
            scans = watch.start()
            backoff, usual, due = _polling(scans.interval), scans.trigger, clock.monotonic()
            while not self._stopping.is_set():
                if renewed := watch.renew():
                    backoff, usual, due = _polling(renewed.interval), renewed.trigger, clock.monotonic()
                if self._notified.is_set() or clock.monotonic() >= due:
                    trigger = self._trigger if self._notified.is_set() else usual
                    self._notified.clear()
                    backoff = backoff.after(succeeded=self._scan(trigger))
                    due = clock.monotonic() + _delay(backoff, usual).total_seconds()
                schedule, due_time = schedule.advance(clock.now().wall)
                if due_time:
                    self._run_on_schedule(due_time)
                times = [self._until(due), self._until_due_time(schedule)]
                times += [UNWATCHED_INTERVAL] if watch.needs_checks else []
                clock.wait(self._notified, max(_MIN_WAIT, min(times)))

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
        options = RunOptions(configuration="commit", force=due.rebuild, rebuild=due.rebuild)
        try:
            queued = self._ref_tracker.enqueue(RunRequest(Trigger.SCHEDULE, options=options))
            dropped = "" if queued else ", but its previous run is still in the queue"
            context.events().emit(EventKind.TRIGGER_SCHEDULE, f"schedule due: {due.expression}{dropped}")
        except PenstockError as error:
            _logger.warning("scheduled run not queued", schedule=due.expression, error=error.message)


def _polling(interval: timedelta) -> Backoff:
    return Backoff(interval, max(interval, _MAX_BACKOFF), _JITTER)


def _delay(backoff: Backoff, usual: Trigger) -> timedelta:
    """Return the time until the next scan if no trigger requests one earlier."""
    if usual is Trigger.WATCH and backoff.failures:
        # A scan of a local repository is cheap, and the failed one may have been for a change that the watch reported.
        return replace(Backoff(UNWATCHED_INTERVAL, _FALLBACK_INTERVAL), failures=backoff.failures - 1).delay()
    return backoff.delay()

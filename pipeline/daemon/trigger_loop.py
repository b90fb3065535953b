"""Notices what is new in one pipeline's repository, by whichever way: all of them lead to a look at its refs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta

import structlog

from pipeline.base.backoff import Backoff
from pipeline.base.clock import Clock
from pipeline.base.errors import PenstockError, SystemFault
from pipeline.event_kinds import EventKind
from pipeline.runner.context import PipelineContext
from pipeline.runner.ref_tracker import RefTracker
from pipeline.runner.stages import load_source
from pipeline.store.queue import RunRequest
from pipeline.store.records import RunOptions, Trigger
from pipeline.triggers.schedule import Schedule, local_zone

_REMOTE = timedelta(minutes=1)
# A watch may miss a change, so the refs are listed at least this often.
_SAFETY = timedelta(minutes=1)
_UNWATCHED = timedelta(seconds=2)
# A schedule is never looked at later than this, whatever the machine's clock does.
_TICK = timedelta(seconds=20)
# A clock that is a little behind, or a timeout that was rounded down, leads to one more look and not to many.
_LEAST = timedelta(milliseconds=10)
# A remote repository that fails is asked less often, and many do not ask one together.
_MAX_BACKOFF = timedelta(minutes=15)
_JITTER = 0.1
_logger = structlog.get_logger(__name__)


class TriggerLoop:
    """One pipeline's triggers, in a thread. `call` may come from any other."""

    def __init__(self, pipeline_context: Callable[[], PipelineContext], ref_tracker: RefTracker, clock: Clock) -> None:
        self._pipeline_context = pipeline_context
        self._ref_tracker = ref_tracker
        self._clock = clock
        self._notified = threading.Event()
        self._trigger = Trigger.WATCH
        self._stopping = threading.Event()
        self._last_reported = ""

    def notify(self, trigger: Trigger) -> None:
        """Something may be new. Any number of calls before the next look are one."""
        self._trigger = trigger
        self._notified.set()

    def stop(self) -> None:
        """End soon."""
        self._stopping.set()
        self._notified.set()

    def run_forever(self) -> None:
        """Until `stop`."""
        clock, triggers = self._clock, self._pipeline_context().configuration.pipeline.triggers
        schedule = Schedule(triggers.schedule, local_zone(), clock.now().wall)
        with ExitStack() as stack:
            backoff, usual = self._observe(stack)
            due = clock.monotonic()
            while not self._stopping.is_set():
                if self._notified.is_set() or clock.monotonic() >= due:
                    trigger = self._trigger if self._notified.is_set() else usual
                    self._notified.clear()
                    backoff = backoff.after(succeeded=self._look(trigger))
                    due = clock.monotonic() + _delay(backoff, usual).total_seconds()
                schedule, due_time = schedule.advance(clock.now().wall)
                if due_time:
                    self._run_on_schedule(due_time.expression)
                clock.wait(self._notified, max(_LEAST, min(self._until(due), self._until_due_time(schedule))))

    def _until(self, due: float) -> timedelta:
        return timedelta(seconds=due - self._clock.monotonic())

    def _until_due_time(self, schedule: Schedule) -> timedelta:
        due_time = schedule.next()
        return min(_TICK, due_time.at - self._clock.now().wall) if due_time else _TICK

    def _observe(self, stack: ExitStack) -> tuple[Backoff, Trigger]:
        """Begin to watch, where that can be done; how often to look besides, and what a look is then called."""
        pipeline_context, source = self._pipeline_context(), load_source()
        triggers, context = pipeline_context.configuration.pipeline.triggers, pipeline_context.stage_context()
        if source.git_directory(context) is None:
            return _polling(triggers.poll or _REMOTE), Trigger.POLL
        if triggers.watch:
            try:
                stack.enter_context(source.watch(context, lambda: self.notify(Trigger.WATCH)))
            except (SystemFault, OSError) as error:
                seconds = _UNWATCHED.total_seconds()
                text = f"cannot watch the repository, looking every {seconds:g} s instead: {error}"
                pipeline_context.events().emit(EventKind.TRIGGER_POLLING, text)
                return _polling(min(triggers.poll or _UNWATCHED, _UNWATCHED)), Trigger.POLL
        return _polling(triggers.poll or _SAFETY), Trigger.POLL if triggers.poll else Trigger.WATCH

    def _look(self, trigger: Trigger) -> bool:
        try:
            self._ref_tracker.scan(trigger)
        except PenstockError as error:
            # Told once: a remote that is away for a night need not fill the history.
            if error.message != self._last_reported:
                self._pipeline_context().events().emit(
                    EventKind.TRIGGER_FAILED, f"cannot look for new commits: {error.message}"
                )
                self._last_reported = error.message
            return False
        except Exception:
            _logger.exception("internal error in a scan for new commits")
            return False
        self._last_reported = ""
        return True

    def _run_on_schedule(self, expression: str) -> None:
        pipeline_context = self._pipeline_context()
        try:
            pipeline_context.events().emit(EventKind.TRIGGER_SCHEDULE, f"it is time: {expression}")
            self._ref_tracker.enqueue(RunRequest(Trigger.SCHEDULE, options=RunOptions(configuration="commit")))
        except PenstockError as error:
            _logger.warning("scheduled run not queued", schedule=expression, error=error.message)


def _polling(interval: timedelta) -> Backoff:
    return Backoff(interval, max(interval, _MAX_BACKOFF), _JITTER)


def _delay(backoff: Backoff, usual: Trigger) -> timedelta:
    """Return the time until the next scan that nothing calls for."""
    if usual is Trigger.WATCH and backoff.failures:
        # A local repository needs no sparing, and the scan that failed may have been for what the watch reported.
        return replace(Backoff(_UNWATCHED, _SAFETY), failures=backoff.failures - 1).delay()
    return backoff.delay()

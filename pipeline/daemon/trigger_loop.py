"""Notices what is new in one pipeline's repository, by whichever way: all of them lead to a look at its refs."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

from pipeline.base.backoff import Pace
from pipeline.base.errors import PenstockError, SystemFault
from pipeline.event_kinds import EventKind
from pipeline.runner.context import PipelineContext
from pipeline.runner.ref_tracker import RefTracker
from pipeline.runner.run import CONFIGURATION
from pipeline.runner.stages import load_source
from pipeline.store.queue import Request
from pipeline.store.records import Trigger
from pipeline.triggers.schedule import Moment, Schedule, local_zone

_REMOTE = timedelta(minutes=1)
# A watch may miss a change, so the refs are listed at least this often.
_SAFETY = timedelta(minutes=1)
UNWATCHED_INTERVAL = timedelta(seconds=2)
"""Time between two scans of a repository that cannot be watched."""
# A schedule is never looked at later than this, whatever the machine's clock does.
_TICK = 20.0
_logger = logging.getLogger(__name__)


class TriggerLoop:
    """One pipeline's triggers, in a thread. `call` may come from any other."""

    def __init__(
        self,
        pipeline_context: Callable[[], PipelineContext],
        ref_tracker: RefTracker,
        unwatched_interval: timedelta = UNWATCHED_INTERVAL,
    ) -> None:
        self._pipeline_context = pipeline_context
        self._ref_tracker = ref_tracker
        self._unwatched_interval = unwatched_interval
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
        triggers = self._pipeline_context().configuration.pipeline.triggers
        schedule = Schedule(triggers.schedule, local_zone(), datetime.now(UTC))
        with ExitStack() as stack:
            pace, usual = self._observe(stack)
            due, failures = 0.0, 0
            while not self._stopping.is_set():
                if self._notified.is_set() or time.monotonic() >= due:
                    trigger = self._trigger if self._notified.is_set() else usual
                    self._notified.clear()
                    succeeded = self._look(trigger)
                    pace, failures = pace.after(succeeded=succeeded), 0 if succeeded else failures + 1
                    due = time.monotonic() + self._wait(pace, usual, failures)
                schedule, moment = schedule.look(datetime.now(UTC))
                if moment:
                    self._run_on_schedule(moment.expression)
                self._notified.wait(min(_TICK, due - time.monotonic(), _until(schedule.next())))

    def _wait(self, pace: Pace, usual: Trigger, failures: int) -> float:
        """Seconds until the next look that nobody calls for."""
        seconds = pace.wait(random.random).total_seconds()  # noqa: S311  # spreads the load, hides nothing
        if usual is Trigger.WATCH and failures:
            # Here nobody is spared by waiting; and what the watch told may have been what could not be looked at.
            seconds = min(self._unwatched_interval.total_seconds() * 2 ** min(failures - 1, 5), _SAFETY.total_seconds())
        return seconds

    def _observe(self, stack: ExitStack) -> tuple[Pace, Trigger]:
        """Begin to watch, where that can be done; how often to look besides, and what a look is then called."""
        pipeline_context, source = self._pipeline_context(), load_source()
        triggers, context = pipeline_context.configuration.pipeline.triggers, pipeline_context.stage_context()
        if source.git_directory(context) is None:
            return Pace(triggers.poll or _REMOTE), Trigger.POLL
        if triggers.watch:
            try:
                stack.enter_context(source.watch(context, lambda: self.notify(Trigger.WATCH)))
            except (SystemFault, OSError) as error:
                seconds = self._unwatched_interval.total_seconds()
                text = f"cannot watch the repository, looking every {seconds:g} s instead: {error}"
                pipeline_context.events().emit(EventKind.TRIGGER_POLLING, text)
                return Pace(min(triggers.poll or self._unwatched_interval, self._unwatched_interval)), Trigger.POLL
        return Pace(triggers.poll or _SAFETY), Trigger.POLL if triggers.poll else Trigger.WATCH

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
            _logger.exception("looking for new commits: a fault of Penstock itself")
            return False
        self._last_reported = ""
        return True

    def _run_on_schedule(self, expression: str) -> None:
        pipeline_context = self._pipeline_context()
        try:
            pipeline_context.events().emit(EventKind.TRIGGER_SCHEDULE, f"it is time: {expression}")
            self._ref_tracker.enqueue(Request(Trigger.SCHEDULE, options={CONFIGURATION: "commit"}))
        except PenstockError as error:
            _logger.warning("the schedule %s: %s", expression, error.message)


def _until(moment: Moment | None) -> float:
    """The seconds until then, never none: a clock that is a little behind is looked at again."""
    return max(0.01, (moment.at - datetime.now(UTC)).total_seconds()) if moment else _TICK

"""The attempts of a step, and the decision whether to retry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Literal, TypeVar

from pipeline.api import StageContext
from pipeline.base.backoff import Backoff
from pipeline.base.errors import EngineFault, PenstockError
from pipeline.config.steps import Retry
from pipeline.engine.interfaces import Engine
from pipeline.event_kinds import EventKind
from stages.build.failures import ServiceFailed, TestsFailed

Cause = Literal["infrastructure", "failure"]
T = TypeVar("T")
_BACKOFF = Backoff(timedelta(seconds=0.5))
# Longer than a restart of Docker takes.
_PATIENCE = timedelta(seconds=10)
_LOOK = timedelta(seconds=0.1)


class Attempts:
    """The attempts of one step. `step` begins the name of its event. `answers` returns whether Docker responds."""

    def __init__(self, context: StageContext, retry: Retry, step: str, answers: Callable[[], bool]) -> None:
        self._context = context
        self._retry = EventKind(f"{step}.retry")
        self._answers = answers
        self._left: dict[Cause, int] = {"infrastructure": retry.infrastructure, "failure": retry.failure}
        self.number = 1

    @classmethod
    def of_step(cls, context: StageContext, engine: Engine, step: str) -> Attempts:
        """Return the attempts that `build.test.retry` allows a step."""
        tests = context.configuration.pipeline.build.test
        return cls(context, tests.retry if tests else Retry(), step, engine.answers)

    def run(self, work: Callable[[], T]) -> T:
        """Return the result of `work`, or raise its last error. The kind of error decides about a retry."""
        while True:
            try:
                return work()
            except PenstockError as error:
                self._context.check_cancelled()
                cause = cause_of(error)
                if cause is None or not self._left[cause]:
                    error.message += f" ({ordinal(self.number)} try)" if self.number > 1 else ""
                    raise
                self._left[cause] -= 1
                self._again(cause, error)

    def summary(self) -> str:
        """Return the number of the attempt as text. Empty for the first."""
        return f" on the {ordinal(self.number)} try" if self.number > 1 else ""

    def _again(self, cause: Cause, error: PenstockError) -> None:
        self.number += 1
        text = f"{ordinal(self.number)} try ({cause}): {error.message}"
        self._context.events.emit(self._retry, text, attempt=self.number, cause=cause, reason=error.message)
        if cause == "infrastructure":
            self._context.clock.wait(self._context.cancelled, replace(_BACKOFF, failures=self.number - 2).delay())
            self._await_engine()
        self._context.check_cancelled()

    def _await_engine(self) -> None:
        clock, cancelled = self._context.clock, self._context.cancelled
        deadline = clock.monotonic() + _PATIENCE.total_seconds()
        while not self._answers() and clock.monotonic() < deadline:
            if clock.wait(cancelled, _LOOK):
                return


def cause_of(error: PenstockError) -> Cause | None:
    """Return the cause of a failure, or None if a retry would fail in the same way."""
    if isinstance(error, EngineFault | ServiceFailed):
        return "infrastructure"
    return "failure" if isinstance(error, TestsFailed) else None


def ordinal(number: int) -> str:
    """Return a number as 1st, 2nd, 3rd, 4th."""
    teens = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"

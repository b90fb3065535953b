"""Failed steps are retried by the kind of their failure."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from pipeline.base.errors import Cancelled, EngineFault, PenstockError, StageFailed
from pipeline.config.steps import Retry
from pipeline.events import Event, Events
from pipeline.testing.fakes.clock import FakeClock
from stages.build.attempts import Attempts, ordinal
from stages.build.failures import ServiceFailed, TestsFailed


class Context:
    """The part of a run that a step sees."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.clock = FakeClock(auto_advance=True)
        self.heard: list[Event] = []
        self.events = Events("shop", 1)
        self.events.subscribe(self.heard.append)

    def check_cancelled(self) -> None:
        """As a stage does it."""
        if self.cancelled.is_set():
            raise Cancelled("cancelled")


class Step:
    """Fails as told, one error a try, then succeeds."""

    def __init__(self, *errors: PenstockError) -> None:
        self._errors = list(errors)
        self.tries = 0

    def __call__(self) -> str:
        """One try."""
        self.tries += 1
        if self._errors:
            raise self._errors.pop(0)
        return "done"


def attempts(context: Any, retry: Retry, answers: Any = lambda: True) -> Attempts:
    return Attempts(context, retry, "test", answers)


@pytest.mark.parametrize(
    ("error", "retry", "tries"),
    [
        (EngineFault("Docker went away"), Retry(), 2),
        (EngineFault("Docker went away"), Retry(infrastructure=0), 1),
        (ServiceFailed("db ended"), Retry(), 2),
        (TestsFailed("exit code 1"), Retry(), 1),
        (TestsFailed("exit code 1"), Retry(failure=1), 2),
        (StageFailed("no such program"), Retry(infrastructure=9, failure=9), 1),
    ],
)
def test_by_whose_fault_it_was(error: PenstockError, retry: Retry, tries: int) -> None:
    """Docker and services are infrastructure; of the user's own, only tests may end otherwise the next time."""
    step = Step(error, error, error)
    with pytest.raises(type(error)):
        attempts(Context(), retry).run(step)
    assert step.tries == tries


def test_each_try_is_told() -> None:
    """An event has the number, the kind and the reason of each retry. The two kinds are counted apart."""
    context, step = Context(), Step(TestsFailed("exit code 1"), ServiceFailed("db ended"), TestsFailed("exit code 2"))
    tried = attempts(context, Retry(failure=2))
    assert tried.run(step) == "done"
    assert [(event.kind, event.message, event.fields["attempt"]) for event in context.heard] == [
        ("test.retry", "2nd try (failure): exit code 1", 2),
        ("test.retry", "3rd try (infrastructure): db ended", 3),
        ("test.retry", "4th try (failure): exit code 2", 4),
    ]
    assert tried.summary() == " on the 4th try"


def test_the_last_failure_says_which_try_it_was() -> None:
    """Only where there was more than one."""
    with pytest.raises(TestsFailed, match=r"^exit code 1$"):
        attempts(Context(), Retry()).run(Step(TestsFailed("exit code 1")))
    with pytest.raises(TestsFailed, match=r"^exit code 2 \(2nd try\)$"):
        attempts(Context(), Retry(failure=1)).run(Step(TestsFailed("exit code 1"), TestsFailed("exit code 2")))


def test_each_wait_is_twice_as_long() -> None:
    """Half a second at first."""
    context, away = Context(), EngineFault("away")
    assert attempts(context, Retry(infrastructure=4)).run(Step(away, away, away, away)) == "done"
    assert [wait.total_seconds() for wait in context.clock.waits] == [0.5, 1, 2, 4]


def test_failed_tests_are_run_again_at_once() -> None:
    """Waiting makes no difference to them."""
    context = Context()
    assert attempts(context, Retry(failure=1)).run(Step(TestsFailed("exit code 1"))) == "done"
    assert context.clock.waits == []


def test_docker_is_waited_for() -> None:
    """Until it answers again."""
    answers = iter([False, False, True])
    assert attempts(Context(), Retry(), lambda: next(answers)).run(Step(EngineFault("away"))) == "done"
    assert list(answers) == []


def test_docker_is_not_waited_for_without_end() -> None:
    """After ten seconds the step is tried all the same."""
    context = Context()
    start = context.clock.now()
    assert attempts(context, Retry(), lambda: False).run(Step(EngineFault("away"))) == "done"
    assert timedelta(seconds=10) <= context.clock.since(start) < timedelta(seconds=11)


def test_waiting_ends_when_it_is_cancelled() -> None:
    """The step is not tried again."""
    context, step = Context(), Step(EngineFault("away"))
    context.clock.call_at(timedelta(seconds=3), context.cancelled.set)
    with pytest.raises(Cancelled):
        attempts(context, Retry(), lambda: False).run(step)
    assert step.tries == 1


def test_nothing_is_tried_again_for_somebody_who_cancelled() -> None:
    """Whatever the cancelled step raised."""
    context, step = Context(), Step(EngineFault("its connection was closed"))
    context.cancelled.set()
    with pytest.raises(Cancelled):
        attempts(context, Retry()).run(step)
    assert step.tries == 1
    assert context.heard == []


def test_ordinals() -> None:
    """As they are said."""
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 112)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "112th",
    ]  # fmt: skip

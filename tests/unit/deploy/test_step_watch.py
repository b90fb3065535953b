"""The watch over one step: the time that has served, and what the judge says at its end."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipeline.alarms.verdict import Verdict
from pipeline.store.deployment_progress import ServiceProgress, ShiftPhase
from pipeline.testing.fakes.clock import FakeClock
from stages.deploy.executor import ReleaseFailed
from stages.deploy.judge import Judgement
from stages.deploy.step_watch import StepWatch

SECOND = timedelta(seconds=1)
BEHIND = Judgement(is_complete=False)
FEW = (Verdict("INSUFFICIENT_DATA", "http_5xx_ratio 0.0 % (0 of 3)"),)


class Judge:
    """Says one thing after the other, and the last one again and again."""

    def __init__(self, *judgements: Judgement) -> None:
        self.judgements = list(judgements)
        self.looks = 0

    def look(self) -> Judgement:
        """Return the next judgement."""
        self.looks += 1
        return self.judgements.pop(0) if len(self.judgements) > 1 else self.judgements[0]


def watch(judge: Judge, clock: FakeClock | None = None) -> StepWatch:
    """Return the watch over the bake time of a service."""
    clock = clock or FakeClock()
    progress = ServiceProgress("web", "rolling", ShiftPhase.BAKE, clock.now(), bake_time=60 * SECOND)
    return StepWatch(clock, lambda: judge, progress, lambda _: None)


def test_the_end_waits_for_all_records() -> None:
    """A judge that has not taken all of them is asked again."""
    judge = Judge(BEHIND, BEHIND, BEHIND, Judgement())
    watch(judge).check_end()
    assert judge.looks == 4


def test_an_alarm_among_old_records_ends_the_wait() -> None:
    """Whatever is left."""
    judge = Judge(BEHIND, Judgement(alarm="http_5xx_ratio 12 %", is_complete=False), BEHIND)
    with pytest.raises(ReleaseFailed, match="http_5xx_ratio 12 %"):
        watch(judge).check_end()
    assert judge.looks == 2


def test_too_few_requests_are_found_when_all_records_are_taken() -> None:
    """Not before: the next ones may be enough."""
    judge = Judge(Judgement(FEW, insufficient_data="rollback", is_complete=False), Judgement())
    watch(judge).check_end()
    with pytest.raises(ReleaseFailed, match=r"0 of 3"):
        watch(Judge(BEHIND, Judgement(FEW, insufficient_data="rollback"))).check_end()


def test_a_judge_that_is_behind_is_known() -> None:
    """So the end of each step waits for it, and not only that of the last bake time."""
    judge, clock = Judge(BEHIND, Judgement()), FakeClock()
    step = watch(judge, clock)
    assert step.look(serves=True) is None
    assert step.is_behind
    clock.advance(SECOND)
    step.look(serves=True)
    assert not step.is_behind


def test_the_end_of_a_step_lets_the_judge_catch_up() -> None:
    """Its alarm is found there at the latest."""
    step = watch(Judge(BEHIND, BEHIND, Judgement(alarm="p99 900 ms > 300 ms")))
    step.look(serves=True)
    with pytest.raises(ReleaseFailed, match="p99"):
        step.check_alarm()


def test_a_hook_counts_no_time() -> None:
    """The judge looks, and the bake time begins afterwards."""
    judge, clock = Judge(Judgement()), FakeClock()
    step = watch(judge, clock)
    for _ in range(10):
        assert step.alarm() is None
        clock.advance(SECOND)
    assert judge.looks == 10
    step.look(serves=True)
    assert step.progress.baked == timedelta(0)
    clock.advance(SECOND)
    step.look(serves=True)
    assert step.progress.baked == SECOND

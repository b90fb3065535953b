"""One pipeline's triggers: what is new is found, also where nothing can be watched."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.base.errors import StageFailed
from pipeline.base.home import Home
from pipeline.config.load import load
from pipeline.daemon.trigger_loop import TriggerLoop
from pipeline.runner.context import PipelineContext
from pipeline.runner.ref_tracker import RefTracker
from pipeline.store.records import Run, Trigger
from pipeline.store.store import Store
from pipeline.testing.fakes.clock import FakeClock
from tests.support.repository import Work
from tests.support.waiting import until

PIPELINE = """\
name: shop
deploy: {target_group: web}
balancer:
  target_groups: {web: {port: 8080}}
  load_balancers: {edge: {listeners: [{port: 8000, default_action: {forward: web}}]}}
"""


@pytest.fixture
def work(tmp_path: Path) -> Work:
    work = Work(tmp_path)
    work.commit(PIPELINE, "pipeline.yaml")
    return work


@pytest.fixture
def pipeline_context(work: Work, tmp_path: Path) -> Iterator[PipelineContext]:
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    with Store(home.database) as store:
        yield PipelineContext(home, load(work.path / "pipeline.yaml"), store)


class Counted(RefTracker):
    """Counts the looks that are over, however they ended."""

    looks = 0

    def scan(self, trigger: Trigger) -> list[Run]:
        """As any other."""
        try:
            return super().scan(trigger)
        finally:
            self.looks += 1


class Failing(RefTracker):
    """Cannot scan the refs, and notes when it was asked to."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(lambda: pytest.fail("not used"), lambda: None)
        self._clock = clock
        self.at: list[float] = []

    def scan(self, trigger: Trigger) -> list[Run]:
        """Fail."""
        self.at.append(self._clock.monotonic())
        raise StageFailed("the repository is away")


@contextmanager
def looking(
    pipeline_context: PipelineContext, clock: FakeClock, ref_tracker: RefTracker | None = None
) -> Iterator[TriggerLoop]:
    """A lookout that works, as long as this is entered."""
    found = TriggerLoop(
        lambda: pipeline_context, ref_tracker or RefTracker(lambda: pipeline_context, lambda: None), clock
    )
    thread = threading.Thread(target=found.run_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.stop()
        thread.join()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    monkeypatch.setenv("TZ", "UTC")
    return FakeClock(datetime(2030, 1, 1, 4, 29, tzinfo=UTC))


def with_triggers(work: Work, pipeline_context: PipelineContext, triggers: str) -> PipelineContext:
    """The same pipeline, started by something else."""
    (work.path / "pipeline.yaml").write_text(f"{PIPELINE}triggers: {triggers}\n")
    return PipelineContext(pipeline_context.home, load(work.path / "pipeline.yaml"), pipeline_context.store)


def await_run(pipeline_context: PipelineContext, sha: str) -> Trigger:
    """What made the run of a commit."""
    found = until(lambda: [r for r in pipeline_context.store.runs.latest("shop") if r.sha == sha], f"a run of {sha}")
    assert len(found) == 1
    return Trigger(found[0].trigger)


def kinds(pipeline_context: PipelineContext) -> list[str]:
    """What was told apart from any run."""
    return [event.kind for event in pipeline_context.store.events.latest("shop") if event.run is None]


def test_what_is_there_and_what_comes(work: Work, pipeline_context: PipelineContext, clock: FakeClock) -> None:
    """A run for the commit that is there at first, and for each that comes; the watch finds it, and no time passes."""
    with looking(pipeline_context, clock):
        await_run(pipeline_context, work.git("rev-parse", "HEAD"))
        for content in ("two", "three"):
            assert await_run(pipeline_context, work.commit(content)) is Trigger.WATCH
    assert kinds(pipeline_context) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE])
def test_without_watches_it_looks_again_and_again(
    number: int, work: Work, pipeline_context: PipelineContext, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the kernel has no more to give: it says so, once, with what to do, and finds each commit all the same."""

    def refuse(*_: object) -> int:
        raise OSError(number, "used up")

    monkeypatch.setattr("watchdog.observers.inotify_c.inotify_add_watch", refuse)
    with looking(pipeline_context, clock):
        await_run(pipeline_context, work.git("rev-parse", "HEAD"))
        for content in ("two", "three"):
            sha = work.commit(content)
            assert timedelta(seconds=1.8) <= clock.advance_to_next_timeout() <= timedelta(seconds=2.2)
            assert await_run(pipeline_context, sha) is Trigger.POLL
    (told,) = pipeline_context.store.events.latest("shop", limit=1000)[:1]
    assert told.kind == "trigger.polling"
    assert told.message.startswith("cannot watch the repository, polling every 2 s instead: the kernel has no more")
    assert "sysctl" in told.message
    assert kinds(pipeline_context) == ["trigger.polling"]


def test_a_repository_that_is_away_for_a_while(work: Work, pipeline_context: PipelineContext, clock: FakeClock) -> None:
    """Is told once, however often it is looked for; and what is new is found when it is back."""
    ref_tracker = Counted(lambda: pipeline_context, lambda: None)
    with looking(pipeline_context, clock, ref_tracker) as found:
        await_run(pipeline_context, work.git("rev-parse", "HEAD"))
        away = work.path / ".git" / "HEAD"
        content = away.read_text()
        away.write_text("nonsense")
        for _ in range(3):
            before = ref_tracker.looks
            found.notify(Trigger.HOOK)
            until(lambda: ref_tracker.looks > before, "it has looked")  # noqa: B023
        assert kinds(pipeline_context) == ["trigger.failed"]
        away.write_text(content)
        await_run(pipeline_context, work.commit("two"))
    assert kinds(pipeline_context) == ["trigger.failed"]


def test_what_a_watch_missed_is_found_within_a_minute(pipeline_context: PipelineContext, clock: FakeClock) -> None:
    """By a scan that nothing calls for."""
    ref_tracker = Counted(lambda: pipeline_context, lambda: None)
    with looking(pipeline_context, clock, ref_tracker):
        until(lambda: ref_tracker.looks == 1, "the first scan")
        clock.wait_for_waiters()
        clock.advance(timedelta(seconds=66))
        until(lambda: ref_tracker.looks == 2, "the second scan")


def test_a_watched_repository_that_is_away_is_asked_less_and_less(
    pipeline_context: PipelineContext, clock: FakeClock
) -> None:
    """After 2, 4, 8 … seconds, and each minute in the end."""
    ref_tracker = Failing(clock)
    with looking(pipeline_context, clock, ref_tracker):
        while len(ref_tracker.at) < 8:
            clock.advance_to_next_timeout()
    gaps = [round(later - earlier) for earlier, later in zip(ref_tracker.at, ref_tracker.at[1:8], strict=False)]
    assert gaps[:7] == [2, 4, 8, 16, 32, 60, 60]


def test_a_polled_repository_that_is_away_is_asked_less_and_less(
    work: Work, pipeline_context: PipelineContext, clock: FakeClock
) -> None:
    """Each wait is twice as long, a tenth more or less."""
    ref_tracker = Failing(clock)
    with looking(with_triggers(work, pipeline_context, "{poll: 10s}"), clock, ref_tracker):
        while len(ref_tracker.at) < 4:
            clock.advance_to_next_timeout()
    gaps = [later - earlier for earlier, later in zip(ref_tracker.at, ref_tracker.at[1:4], strict=False)]
    assert [round(gap / wanted, 1) for gap, wanted in zip(gaps, (20, 40, 80), strict=True)] == [
        pytest.approx(1, abs=0.11)
    ] * 3


def scheduled(pipeline_context: PipelineContext) -> int:
    """How many runs a schedule has made."""
    return sum(run.trigger is Trigger.SCHEDULE for run in pipeline_context.store.runs.latest("shop"))


def test_a_schedule_is_kept(work: Work, pipeline_context: PipelineContext, clock: FakeClock) -> None:
    """A run is queued when its time has come, and not before."""
    with looking(with_triggers(work, pipeline_context, '{schedule: ["30 4 * * *"]}'), clock):
        await_run(pipeline_context, work.git("rev-parse", "HEAD"))
        clock.wait_for_waiters()
        clock.advance(timedelta(seconds=59))
        clock.wait_for_waiters()
        assert scheduled(pipeline_context) == 0
        clock.advance(timedelta(seconds=1))
        until(lambda: scheduled(pipeline_context) == 1, "the run of half past four")
    assert kinds(pipeline_context) == ["trigger.schedule"]


def test_a_machine_that_slept_makes_up_for_one_run(
    work: Work, pipeline_context: PipelineContext, clock: FakeClock
) -> None:
    """However many times have passed meanwhile. A suspended machine's wall clock jumps."""
    with looking(with_triggers(work, pipeline_context, '{schedule: ["30 4 * * *"]}'), clock):
        await_run(pipeline_context, work.git("rev-parse", "HEAD"))
        clock.wait_for_waiters()
        clock.jump(timedelta(days=3, hours=1))
        # The machine's clock is asked at least this often.
        clock.advance(timedelta(seconds=20))
        until(lambda: scheduled(pipeline_context) == 1, "the run of half past four")
        for _ in range(3):
            clock.advance_to_next_timeout()
    assert scheduled(pipeline_context) == 1

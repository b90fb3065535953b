"""The trigger loop finds each new commit, also in repositories that cannot be watched."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.base.errors import StageFailed
from pipeline.base.home import Home
from pipeline.config.load import load
from pipeline.daemon.ref_watch import RefWatch
from pipeline.daemon.scheduler import Loop, Scheduler
from pipeline.daemon.trigger_loop import TriggerLoop
from pipeline.runner.context import PipelineContext
from pipeline.runner.ref_tracker import RefTracker
from pipeline.store.records import Run, RunOptions, Trigger
from pipeline.store.store import Store
from pipeline.testing.fakes.clock import FakeClock
from tests.support.repository import Work
from tests.support.waiting import DEADLINE, until

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
    """A tracker that counts its finished scans, failed ones included."""

    scans = 0

    def scan(self, trigger: Trigger) -> list[Run]:
        """Scan and count."""
        try:
            return super().scan(trigger)
        finally:
            self.scans += 1


class Failing(RefTracker):
    """A tracker whose scans fail. It records their times."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(lambda: pytest.fail("not used"), lambda: None)
        self._clock = clock
        self.at: list[float] = []

    def scan(self, trigger: Trigger) -> list[Run]:
        """Fail."""
        self.at.append(self._clock.monotonic())
        raise StageFailed("the repository is away")


@contextmanager
def running_loop(
    pipeline_context: PipelineContext, clock: FakeClock, ref_tracker: RefTracker | None = None
) -> Iterator[TriggerLoop]:
    """Run a trigger loop until the block ends."""
    loops: list[Loop] = []
    ref_tracker = ref_tracker or RefTracker(lambda: pipeline_context, lambda: None)
    found = TriggerLoop(lambda: pipeline_context, ref_tracker, clock, lambda: [loop.wake() for loop in loops])
    with Scheduler(clock) as scheduler:
        loops.append(scheduler.add("trigger loop", found.step))
        try:
            yield found
        finally:
            loops[0].stop()
            assert loops[0].join(DEADLINE)
            found.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    monkeypatch.setenv("TZ", "UTC")
    return FakeClock(datetime(2030, 1, 1, 4, 29, tzinfo=UTC))


def with_triggers(work: Work, pipeline_context: PipelineContext, triggers: str) -> PipelineContext:
    """Return the context of the same pipeline with other triggers."""
    (work.path / "pipeline.yaml").write_text(f"{PIPELINE}triggers: {triggers}\n")
    return PipelineContext(pipeline_context.home, load(work.path / "pipeline.yaml"), pipeline_context.store)


def await_run(pipeline_context: PipelineContext, sha: str) -> Trigger:
    """Wait for the run of a commit, and return its trigger."""
    found = until(lambda: [r for r in pipeline_context.store.runs.latest("shop") if r.sha == sha], f"a run of {sha}")
    assert len(found) == 1
    return Trigger(found[0].trigger)


def kinds(pipeline_context: PipelineContext) -> list[str]:
    """Return the kinds of the events that belong to no run."""
    return [event.kind for event in pipeline_context.store.events.latest("shop") if event.run is None]


def test_existing_and_new_commits_are_run(work: Work, pipeline_context: PipelineContext, clock: FakeClock) -> None:
    """The existing commit and each later one get a run at once, because the repository is watched."""
    with running_loop(pipeline_context, clock):
        await_run(pipeline_context, work.git("rev-parse", "HEAD"))
        for content in ("two", "three"):
            assert await_run(pipeline_context, work.commit(content)) is Trigger.WATCH
    assert kinds(pipeline_context) == []


def test_a_requested_scan_looks_at_the_requested_refs_only(
    work: Work, pipeline_context: PipelineContext, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new commit waits for no look at all refs, of which there may be tens of thousands."""
    with running_loop(pipeline_context, clock):
        await_run(pipeline_context, work.git("rev-parse", "HEAD"))
        clock.wait_for_waiters()
        looks = list[str]()
        monkeypatch.setattr(RefWatch, "stamp", lambda _: looks.append("look"))
        await_run(pipeline_context, work.commit("two"))
        assert looks == []


def test_a_request_without_a_trigger_counts_as_the_usual_scan(
    work: Work, pipeline_context: PipelineContext, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that the scan for a requested run finds counts as found by the watch, not by polling."""
    with running_loop(pipeline_context, clock) as loop:
        await_run(pipeline_context, work.git("rev-parse", "HEAD"))
        clock.wait_for_waiters()
        notify = loop.notify
        monkeypatch.setattr(loop, "notify", lambda _: None)
        sha = work.commit("two")
        notify(None)
        assert await_run(pipeline_context, sha) is Trigger.WATCH


def test_a_shallow_clone_is_served(work: Work, pipeline_context: PipelineContext, clock: FakeClock) -> None:
    """The commit that a shallow clone has and each later one get a run (dokku#4405)."""
    work.commit("two")
    shallow = work.root / "shallow"
    work.git("clone", "--quiet", "--depth=1", f"file://{work.path}", str(shallow))
    context = PipelineContext(pipeline_context.home, load(shallow / "pipeline.yaml"), pipeline_context.store)
    with running_loop(context, clock):
        await_run(context, work.git("rev-parse", "HEAD"))
        for content in ("three", "four"):
            assert await_run(context, work.commit(content, cwd=shallow)) is Trigger.WATCH
        work.git("fetch", "--quiet", "--unshallow", cwd=shallow)
        await_run(context, work.commit("five", cwd=shallow))
    assert kinds(context) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE])
def test_without_watches_it_polls(
    number: int, work: Work, pipeline_context: PipelineContext, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without free inotify watches the loop polls, finds each commit, and reports the remedy once."""

    def refuse(*_: object) -> int:
        raise OSError(number, "used up")

    monkeypatch.setattr("watchdog.observers.inotify_c.inotify_add_watch", refuse)
    with running_loop(pipeline_context, clock):
        await_run(pipeline_context, work.git("rev-parse", "HEAD"))
        for content in ("two", "three"):
            sha = work.commit(content)
            assert timedelta(seconds=1.8) <= clock.advance_to_next_timeout() <= timedelta(seconds=2.2)
            assert await_run(pipeline_context, sha) is Trigger.POLL
    (told,) = pipeline_context.store.events.latest("shop", limit=1000)[:1]
    assert told.kind == "trigger.polling"
    assert told.message.startswith("cannot watch the repository, polling every 2 s instead: the kernel's limit of")
    assert "sysctl" in told.message
    assert kinds(pipeline_context) == ["trigger.polling"]


def test_a_repository_that_is_away_for_a_while(work: Work, pipeline_context: PipelineContext, clock: FakeClock) -> None:
    """A missing repository is reported once, and its new commits are found when it is back."""
    ref_tracker = Counted(lambda: pipeline_context, lambda: None)
    with running_loop(pipeline_context, clock, ref_tracker) as found:
        await_run(pipeline_context, work.git("rev-parse", "HEAD"))
        away = work.path / ".git" / "HEAD"
        content = away.read_text()
        away.write_text("nonsense")
        for _ in range(3):
            before = ref_tracker.scans
            found.notify(Trigger.HOOK)
            until(lambda: ref_tracker.scans > before, "a further scan")  # noqa: B023
        assert kinds(pipeline_context) == ["trigger.failed"]
        away.write_text(content)
        await_run(pipeline_context, work.commit("two"))
    assert kinds(pipeline_context) == ["trigger.failed"]


@pytest.mark.parametrize("how", ["removed", "moved", "parent moved"])
def test_a_repository_that_is_replaced_is_watched_again(
    how: str, work: Work, pipeline_context: PipelineContext, clock: FakeClock
) -> None:
    """The lost watch is an event, and the commits of the repository's successor are found by the new watch."""
    copy = work.root / "copy"
    work.git("clone", "--quiet", str(work.path), str(copy))
    with running_loop(pipeline_context, clock):
        await_run(pipeline_context, work.git("rev-parse", "HEAD"))
        clock.wait_for_waiters()
        if how == "removed":
            shutil.rmtree(work.path)
        elif how == "moved":
            (work.path / ".git").rename(work.root / "old")
            shutil.rmtree(work.path)
        else:
            work.path.rename(work.root / "old")
        pass_time(clock, lambda: "trigger.watch_lost" in kinds(pipeline_context))
        # As one step, or the scans would find a repository without commits.
        copy.rename(work.path)
        sha = work.commit("two")
        pass_time(clock, lambda: is_known(pipeline_context, sha))
        # From here on, no time passes.
        for content in ("three", "four"):
            assert await_run(pipeline_context, work.commit(content)) is Trigger.WATCH
    assert kinds(pipeline_context).count("trigger.watch_lost") == 1
    assert "trigger.polling" not in kinds(pipeline_context)


def pass_time(clock: FakeClock, is_done: Callable[[], bool]) -> None:
    """Move the clock from timeout to timeout until something is done."""
    for _ in range(100):
        if is_done():
            return
        clock.advance_to_next_timeout()
    pytest.fail("not done after 100 timeouts")


def is_known(pipeline_context: PipelineContext, sha: str) -> bool:
    """Return whether a commit has a run."""
    return any(run.sha == sha for run in pipeline_context.store.runs.latest("shop"))


def test_what_a_watch_missed_is_found_within_a_minute(
    work: Work, pipeline_context: PipelineContext, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that the watch missed is found by the next scan, within a minute."""
    ref_tracker = Counted(lambda: pipeline_context, lambda: None)
    with running_loop(pipeline_context, clock, ref_tracker):
        until(lambda: ref_tracker.scans == 1, "the first scan")
        clock.wait_for_waiters()
        monkeypatch.setattr(TriggerLoop, "notify", lambda *_: None)
        sha = work.commit("two")
        start = clock.monotonic()
        pass_time(clock, lambda: is_known(pipeline_context, sha))
        # With the jitter, and the step that the clock may be ahead.
        assert clock.monotonic() - start <= 66 + 10


def test_an_unchanged_repository_is_scanned_every_ten_minutes(
    pipeline_context: PipelineContext, clock: FakeClock
) -> None:
    """In between its folders are compared only. A scan starts git, which costs more than everything else."""
    ref_tracker = Counted(lambda: pipeline_context, lambda: None)
    with running_loop(pipeline_context, clock, ref_tracker):
        until(lambda: ref_tracker.scans == 1, "the first scan")
        start = clock.monotonic()
        while ref_tracker.scans < 2:
            clock.advance_to_next_timeout()
        assert 540 <= clock.monotonic() - start <= 680


def test_a_watched_repository_that_is_away_is_scanned_less_often(
    pipeline_context: PipelineContext, clock: FakeClock
) -> None:
    """Scans of a missing watched repository follow after 2, 4, 8 … seconds, at most a minute."""
    ref_tracker = Failing(clock)
    with running_loop(pipeline_context, clock, ref_tracker):
        while len(ref_tracker.at) < 8:
            clock.advance_to_next_timeout()
    gaps = [round(later - earlier) for earlier, later in zip(ref_tracker.at, ref_tracker.at[1:8], strict=False)]
    assert gaps[:7] == [2, 4, 8, 16, 32, 60, 60]


def test_a_polled_repository_that_is_away_is_scanned_less_often(
    work: Work, pipeline_context: PipelineContext, clock: FakeClock
) -> None:
    """Each wait for a missing polled repository doubles, with a jitter of a tenth."""
    ref_tracker = Failing(clock)
    with running_loop(with_triggers(work, pipeline_context, "{poll: 10s}"), clock, ref_tracker):
        while len(ref_tracker.at) < 4:
            clock.advance_to_next_timeout()
    gaps = [later - earlier for earlier, later in zip(ref_tracker.at, ref_tracker.at[1:4], strict=False)]
    assert [round(gap / wanted, 1) for gap, wanted in zip(gaps, (20, 40, 80), strict=True)] == [
        pytest.approx(1, abs=0.11)
    ] * 3


def scheduled(pipeline_context: PipelineContext) -> int:
    """Return the number of runs with the trigger `schedule`."""
    return sum(run.trigger is Trigger.SCHEDULE for run in pipeline_context.store.runs.latest("shop"))


def test_a_schedule_is_kept(work: Work, pipeline_context: PipelineContext, clock: FakeClock) -> None:
    """A scheduled run is queued at its due time, and not earlier."""
    with running_loop(with_triggers(work, pipeline_context, '{schedule: ["30 4 * * *"]}'), clock):
        await_run(pipeline_context, work.git("rev-parse", "HEAD"))
        clock.wait_for_waiters()
        clock.advance(timedelta(seconds=59))
        clock.wait_for_waiters()
        assert scheduled(pipeline_context) == 0
        clock.advance(timedelta(seconds=1))
        until(lambda: scheduled(pipeline_context) == 1, "the run of half past four")
    assert kinds(pipeline_context) == ["trigger.schedule"]


@pytest.mark.parametrize("option", ["rebuild", "pull", "no_cache"])
def test_a_schedule_that_rebuilds(option: str, work: Work, pipeline_context: PipelineContext, clock: FakeClock) -> None:
    """Its run is not skipped, and reuses no image. While it is queued, the next due time adds no run."""
    triggers = f'{{schedule: [{{cron: "* * * * *", {option}: true}}]}}'
    with running_loop(with_triggers(work, pipeline_context, triggers), clock):
        await_run(pipeline_context, work.git("rev-parse", "HEAD"))
        for _ in range(3):
            clock.wait_for_waiters()
            clock.advance(timedelta(minutes=1))
        until(lambda: len(kinds(pipeline_context)) >= 3, "three due times")
    (run,) = (run for run in pipeline_context.store.runs.latest("shop") if run.trigger is Trigger.SCHEDULE)
    assert run.options == RunOptions(configuration="commit", force=True, **{option: True})
    messages = [event.message for event in pipeline_context.store.events.latest("shop") if event.run is None]
    dropped = "schedule due: * * * * *, but its previous run is still in the queue"
    assert messages[:3] == ["schedule due: * * * * *", dropped, dropped]


def test_a_machine_that_slept_queues_one_run(work: Work, pipeline_context: PipelineContext, clock: FakeClock) -> None:
    """A machine that was suspended over several due times queues one run."""
    with running_loop(with_triggers(work, pipeline_context, '{schedule: ["30 4 * * *"]}'), clock):
        await_run(pipeline_context, work.git("rev-parse", "HEAD"))
        clock.wait_for_waiters()
        clock.jump(timedelta(days=3, hours=1))
        # The loop reads the wall clock at least this often.
        clock.advance(timedelta(seconds=20))
        until(lambda: scheduled(pipeline_context) == 1, "the run of half past four")
        for _ in range(3):
            clock.advance_to_next_timeout()
    assert scheduled(pipeline_context) == 1

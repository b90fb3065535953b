"""One pipeline's triggers: what is new is found, also where nothing can be watched."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.base.home import Home
from pipeline.config.load import load
from pipeline.daemon.trigger_loop import UNWATCHED_INTERVAL, TriggerLoop
from pipeline.runner.context import PipelineContext
from pipeline.runner.ref_tracker import RefTracker
from pipeline.store.records import Run, Trigger
from pipeline.store.store import Store
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


@contextmanager
def looking(
    pipeline_context: PipelineContext,
    ref_tracker: RefTracker | None = None,
    unwatched_interval: timedelta = UNWATCHED_INTERVAL,
) -> Iterator[TriggerLoop]:
    """A lookout that works, as long as this is entered."""
    found = TriggerLoop(
        lambda: pipeline_context, ref_tracker or RefTracker(lambda: pipeline_context, lambda: None), unwatched_interval
    )
    thread = threading.Thread(target=found.run_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.stop()
        thread.join()


def await_run(pipeline_context: PipelineContext, sha: str) -> Trigger:
    """What made the run of a commit."""
    found = until(lambda: [r for r in pipeline_context.store.runs("shop") if r.sha == sha], f"a run of {sha}")
    assert len(found) == 1
    return Trigger(found[0].trigger)


def kinds(pipeline_context: PipelineContext) -> list[str]:
    """What was told apart from any run."""
    return [event.kind for event in pipeline_context.store.events("shop") if event.run is None]


def test_what_is_there_and_what_comes(work: Work, pipeline_context: PipelineContext) -> None:
    """A run for the commit that is there at first, and for each that comes."""
    with looking(pipeline_context):
        await_run(pipeline_context, work.git("rev-parse", "HEAD"))
        for content in ("two", "three"):
            assert await_run(pipeline_context, work.commit(content)) is Trigger.WATCH
    assert kinds(pipeline_context) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE])
def test_without_watches_it_looks_again_and_again(
    number: int, work: Work, pipeline_context: PipelineContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the kernel has no more to give: it says so, once, with what to do, and finds each commit all the same."""

    def refuse(*_: object) -> int:
        raise OSError(number, "used up")

    monkeypatch.setattr("watchdog.observers.inotify_c.inotify_add_watch", refuse)
    with looking(pipeline_context, unwatched_interval=timedelta(milliseconds=50)):
        await_run(pipeline_context, work.git("rev-parse", "HEAD"))
        for content in ("two", "three"):
            assert await_run(pipeline_context, work.commit(content)) is Trigger.POLL
    (told,) = pipeline_context.store.events("shop", limit=1000)[:1]
    assert told.kind == "trigger.polling"
    assert told.message.startswith("cannot watch the repository, looking every 0.05 s instead: the kernel has no more")
    assert "sysctl" in told.message
    assert kinds(pipeline_context) == ["trigger.polling"]


def test_a_repository_that_is_away_for_a_while(work: Work, pipeline_context: PipelineContext) -> None:
    """Is told once, however often it is looked for; and what is new is found when it is back."""
    ref_tracker = Counted(lambda: pipeline_context, lambda: None)
    with looking(pipeline_context, ref_tracker) as found:
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

"""The supervisor takes a pipeline's lock when it is free, and repeats loops that fail."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.clock import SystemClock
from pipeline.base.home import Home
from pipeline.base.lock import is_held, work_lock
from pipeline.config.load import Configuration
from pipeline.daemon.repair_loop import RepairLoop
from pipeline.daemon.scheduler import Scheduler
from pipeline.daemon.served_file import ServedFile
from pipeline.daemon.supervisor import PipelineSupervisor
from pipeline.daemon.trigger_loop import TriggerLoop
from pipeline.runner import queue_worker
from pipeline.runner.context import PipelineContext
from pipeline.runner.queue_worker import QueueWorker
from pipeline.runner.run import Execution
from pipeline.store.queue import RunRequest
from pipeline.store.records import Trigger
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
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})


@pytest.fixture
def supervisor(tmp_path: Path, home: Home, clock: FakeClock) -> Iterator[PipelineSupervisor]:
    work = Work(tmp_path)
    file = work.path / "pipeline.yaml"
    file.write_text(PIPELINE)
    with Store(home.database) as store, Scheduler(clock) as scheduler:
        made = PipelineSupervisor(ServedFile(file, home, store, (), None, clock), clock, scheduler)
        yield made
        made.stop(10)


def messages(supervisor: PipelineSupervisor, kind: str) -> list[str]:
    return [
        event.message
        for event in supervisor.served_file.pipeline_context.store.events.latest("shop")
        if event.kind == kind
    ]


def test_a_pipeline_that_a_command_works_on_is_taken_over_after_it(
    supervisor: PipelineSupervisor, home: Home, clock: FakeClock
) -> None:
    """The lock is tried five times a second, and its holder is reported once."""
    with work_lock(home.lock("shop"), "run of shop"):
        supervisor.start()
        assert [clock.advance_to_next_timeout().total_seconds() for _ in range(4)] == pytest.approx([0.2] * 4)
        assert not supervisor.ready.is_set()
    clock.advance_to_next_timeout()
    until(supervisor.ready.is_set, "the pipeline is ready")
    assert len(messages(supervisor, "supervisor.blocked")) == 1


def test_stopping_before_the_start(supervisor: PipelineSupervisor, home: Home) -> None:
    """A supervisor that was not started can be stopped. It takes no lock if it is started afterwards."""
    supervisor.stop(10)
    supervisor.start()
    supervisor.stop(10)
    assert not supervisor.ready.is_set()
    assert not is_held(home.lock("shop"))


def test_a_loop_that_fails_is_repeated(
    supervisor: PipelineSupervisor, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop that fails is repeated with a backoff, and each failure is reported."""
    started: list[float] = []

    def fail(_: QueueWorker) -> timedelta:
        started.append(clock.monotonic())
        raise RuntimeError("a fault")

    monkeypatch.setattr(QueueWorker, "run_once", fail)
    for other in (TriggerLoop, RepairLoop):
        monkeypatch.setattr(other, "step", lambda _: None)
    supervisor.start()

    def failed_five_times() -> bool:
        clock.advance_to_next_timeout()
        return len(started) >= 5

    until(failed_five_times, "five starts")
    # They may be longer, because the clock also goes to what other loops wait for.
    gaps = [later - earlier for earlier, later in pairwise(started[1:5])]
    assert [gap for gap, least in zip(gaps, (0.4, 0.8, 1.6), strict=True) if gap < least - 0.001] == [], gaps
    assert len(messages(supervisor, "serve.failed")) >= 3


def test_a_run_has_the_file_as_it_was_when_it_was_queued(
    supervisor: PipelineSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also before the daemon has looked at the file again, which it does each second."""
    executed: list[Configuration] = []

    class Recorded(Execution):
        """An execution that does nothing."""

        def __init__(self, context: PipelineContext, *arguments: Any, **options: Any) -> None:
            super().__init__(context, *arguments, **options)
            self._recorded = context.configuration

        def execute(self) -> None:
            """Note the configuration."""
            executed.append(self._recorded)

    monkeypatch.setattr(queue_worker, "Execution", Recorded)
    for other in (TriggerLoop, RepairLoop):
        monkeypatch.setattr(other, "step", lambda _: None)
    supervisor.start()
    until(supervisor.ready.is_set, "the pipeline is ready")
    file = supervisor.served_file.file
    # Another file, as editors write it: the times of two writes may be the same.
    changed = file.with_name("changed.yaml")
    changed.write_text(PIPELINE.replace("web}", "web, hooks: {BeforeInstall: [{host_command: [./x]}]}}", 1))
    changed.replace(file)
    supervisor.served_file.pipeline_context.store.queue.put(
        "shop", [RunRequest(Trigger.WATCH, sha="a" * 40)], mode="superseded"
    )
    supervisor.queue_worker.wake()
    until(lambda: executed, "the run is executed")
    assert [hook.host_command for _, hook in executed[0].pipeline.deploy.hooks.all()] == [("./x",)]


def test_the_work_that_a_stop_waits_for(supervisor: PipelineSupervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the run in Deploy, and what its deployment waits for."""
    store, ending = supervisor.served_file.pipeline_context.store, threading.Event()

    class Baking(Execution):
        """A deployment that waits for its bake time."""

        def execute(self) -> None:
            """Wait until the test has seen it."""
            assert store.queue.enter("shop", 1, "deploy").entered
            row = store.deployments.begin("shop", 1, None, 1)
            store.deployment_answers.begin(row.id, "web", "bake", "the bake time of 10m", SystemClock().now())
            assert ending.wait(DEADLINE)

    monkeypatch.setattr(queue_worker, "Execution", Baking)
    for other in (TriggerLoop, RepairLoop):
        monkeypatch.setattr(other, "step", lambda _: None)
    supervisor.start()
    until(supervisor.ready.is_set, "the pipeline is ready")
    assert supervisor.describe_work() == "the work in progress of shop"
    store.queue.put("shop", [RunRequest(Trigger.WATCH, sha="a" * 40)], mode="superseded")
    supervisor.queue_worker.wake()
    expected = "run 1 of shop in Deploy (web: the bake time of 10m: pipeline promote, or pipeline abort)"
    try:
        until(lambda: supervisor.describe_work() == expected, "the deployment waits")
    finally:
        ending.set()

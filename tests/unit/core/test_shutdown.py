"""The end of a daemon: a deployment may finish, the other runs return to the queue, and nothing begins."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pipeline.base.errors import StoreFault
from pipeline.runner.context import PipelineContext
from pipeline.runner.deploy_lock import DeployLock
from pipeline.runner.queue_worker import QueueWorker
from pipeline.store.queue import RunRequest
from pipeline.store.records import RunState, Trigger
from tests.support.waiting import DEADLINE, until
from tests.unit.core.world import NAME, Daemon, World


@contextmanager
def stopping(daemon: Daemon, patience: float = 10.0) -> Iterator[None]:
    """Stop the daemon in another thread, which has ended at the end of the block."""
    thread = threading.Thread(target=daemon.stop, args=(patience,))
    thread.start()
    yield
    thread.join()


def test_a_deployment_finishes(world: World) -> None:
    """The run that waits for it returns to the queue, and the next daemon executes it."""
    daemon, hold = world.hold_first_run("deploy")
    daemon.commit("b")
    world.until_waiting(2, "run 1")
    with stopping(daemon):
        world.until_state(2, RunState.QUEUED)
        assert world.run(1).state is RunState.RUNNING
        hold.release()
    assert world.states() == ["succeeded", "queued"]
    assert world.run(2).attempts == 0
    assert world.run(2).waits_for is None
    assert world.store.runs.stages(NAME, 2) == []
    world.serve()
    world.until_idle()
    assert world.stages.deployed == [1, 2]
    assert world.run(2).attempts == 1
    world.assert_consistent()


@pytest.mark.parametrize("stage", ["source", "build"])
def test_a_run_before_deploy_returns_to_the_queue(world: World, stage: str) -> None:
    """Its attempt does not count."""
    daemon, hold = world.hold_first_run(stage)
    daemon.stop(10.0)
    run = world.run(1)
    assert (run.state, run.attempts) == (RunState.QUEUED, 0)
    assert "run.interrupted" in world.kinds(1)
    hold.release()
    world.serve()
    world.until_idle()
    assert world.stages.deployed == [1]
    world.assert_consistent()


def test_nothing_begins_after_the_end(world: World) -> None:
    """Runs that are queued during and after it wait for the next daemon."""
    daemon, hold = world.hold_first_run("deploy")
    with stopping(daemon):
        until(lambda: not daemon.supervisor.queue_worker.cancel(99), "it stops")
        world.queue(daemon, RunRequest(Trigger.WEBHOOK, sha="b"))
        hold.release()
    world.queue(daemon, RunRequest(Trigger.WEBHOOK, sha="c"))
    passed = list(world.stages.passed)
    assert {run for _, run in passed} == {1}
    daemon.supervisor.queue_worker.run_once()
    assert world.stages.passed == passed
    assert world.states() == ["succeeded", "superseded", "queued"]


def test_a_look_at_the_queue_starts_nothing_after_the_end(world: World) -> None:
    """The daemon ends while its worker is on the way to the queue."""
    daemon = world.daemon()
    looking, proceed = threading.Event(), threading.Event()

    def context() -> PipelineContext:
        looking.set()
        assert proceed.wait(DEADLINE)
        return daemon.served_file.pipeline_context

    worker = QueueWorker(context, DeployLock())
    world.queue(daemon)
    thread = threading.Thread(target=worker.run_once)
    thread.start()
    assert looking.wait(DEADLINE)
    worker.stop(1.0)
    proceed.set()
    thread.join()
    assert world.states() == ["queued"]
    assert world.stages.passed == []


@pytest.mark.parametrize("stage", ["build", "deploy"])
def test_it_ends_if_the_store_cannot_be_read(world: World, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run may finish its stage if it is unknown which one it is. Every thread ends, and no error is raised."""
    daemon, hold = world.hold_first_run(stage)
    asked = threading.Event()

    def fail(*_: object) -> None:
        asked.set()
        raise StoreFault("database: disk I/O error")

    with monkeypatch.context() as broken:
        broken.setattr(daemon.store.runs, "stages", fail)
        with stopping(daemon):
            assert asked.wait(DEADLINE)
            hold.release()
    assert not daemon.supervisor.queue_worker.cancel(1)
    assert world.stages.deployed == ([1] if stage == "deploy" else [])


def test_a_cancelled_run_does_not_return_to_the_queue(world: World) -> None:
    """It was cancelled before the daemon ends, and its stage takes longer."""
    daemon, hold = world.hold_first_run("build", deaf=True)
    daemon.control.cancel(NAME, 1, by="ann")
    with stopping(daemon):
        hold.release()
    assert world.states() == ["cancelled"]
    world.assert_consistent()


@pytest.mark.parametrize("stage", ["build", "deploy"])
def test_a_stage_that_does_not_end_is_left_behind(world: World, stage: str) -> None:
    """The daemon ends after its patience. The next one recovers the run, and executes it again."""
    daemon, hold = world.hold_first_run(stage, deaf=True)
    daemon.stop(0.05)
    assert world.run(1).state is RunState.RUNNING
    daemon.kill()
    hold.release()
    world.serve()
    world.until_idle()
    assert world.states() == ["succeeded"]
    assert world.run(1).attempts == 2
    assert world.stages.recovered == ([1] if stage == "deploy" else [])
    world.assert_consistent()


def test_ends_many_times_under_load(world: World) -> None:
    """Each commit is deployed once and in order, however often the daemon is replaced meanwhile."""
    world.configure("parallel")
    daemon = world.serve()
    daemon.commit("first")
    for number in range(6):
        daemon.commit(*(f"{number}.{i}" for i in range(4)))
        daemon.stop(10.0)
        daemon = world.serve()
    world.until_idle()
    assert set(world.states()) == {"succeeded"}
    assert world.stages.deployed == list(range(1, 26))
    assert all(run.attempts == 1 for run in world.store.runs.latest(NAME, 100))
    world.assert_consistent()

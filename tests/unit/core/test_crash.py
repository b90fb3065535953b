"""Processes that die, disks that fill up, and the next process, which recovers what they left."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from itertools import count, pairwise
from typing import Any

import pytest

from pipeline.base.errors import LockHeld, PenstockError, RollbackFailed, RolledBack, StageFailed
from pipeline.daemon.trigger_loop import TriggerLoop
from pipeline.runner.deployment_answer import abort
from pipeline.runner.queue_worker import QueueWorker
from pipeline.store.queue import STAGES, RunRequest
from pipeline.store.records import LAST_EVENTS, RunState, Trigger
from tests.support.mortal_process import ProcessDied
from tests.support.waiting import until
from tests.unit.core.world import NAME, Daemon, World

ATTEMPTS = 5


def survive(world: World, arm: Callable[[Daemon, int], None]) -> int:
    """Execute one run after the other by a daemon that dies a step later each time. Return the number of deaths."""
    for step in count():
        daemon = world.serve()
        arm(daemon, step)
        (number,) = world.queue(daemon)
        until(
            lambda daemon=daemon, n=number: daemon.power.dead or LAST_EVENTS & set(world.kinds(n)), "a death or an end"
        )
        if not daemon.power.dead:
            # The power may be cut while it stops: the run has ended all the same.
            with suppress(ProcessDied):
                daemon.stop()
            return step
        daemon.bury()
        successor = world.serve()
        world.until_idle()
        assert_recovered(world, number)
        successor.stop()
    raise AssertionError


def assert_recovered(world: World, number: int) -> None:
    """Assert that a run has succeeded at the first or the second attempt, and that its outcome was emitted once."""
    world.until(lambda: LAST_EVENTS & set(world.kinds(number)), "the last event")
    run = world.run(number)
    assert run.state is RunState.SUCCEEDED, run
    assert [stage.name for stage in world.store.runs.stages(NAME, number)] == list(STAGES)
    kinds = world.kinds(number)
    assert run.attempts == 1 + kinds.count("run.interrupted")
    assert sum(kind in LAST_EVENTS for kind in kinds) == 1
    active = world.store.releases.active(NAME)
    assert active is not None
    assert active.run == number
    world.assert_consistent()


@pytest.mark.parametrize("late", [False, True])
def test_a_worker_that_dies_at_any_transaction_is_recovered(world: World, late: bool) -> None:
    """The process dies right before or right after one of its transactions, each in turn."""

    def arm(daemon: Daemon, step: int) -> None:
        daemon.power.late = late
        daemon.power.cut_at = daemon.power.count + step

    # About 24. Events that come at the same time share a transaction, so the number varies.
    assert survive(world, arm) > 15


def test_a_worker_that_dies_at_any_event_is_recovered(world: World) -> None:
    """A listener dies at one of the events of the run, each in turn."""

    def arm(daemon: Daemon, step: int) -> None:
        begun = len(daemon.heard)
        daemon.dies_at = lambda _: len(daemon.heard) > begun + step

    assert survive(world, arm) >= 8


@pytest.mark.parametrize("stage", STAGES)
def test_a_worker_that_dies_in_a_stage_is_recovered(world: World, stage: str) -> None:
    """Its run is queued and executed again; a deployment is closed first."""
    daemon, hold = world.hold_first_run(stage)
    daemon.kill()
    assert world.run(1).state is RunState.RUNNING
    opened = world.store.deployments.open(NAME)
    assert (opened is not None) == (stage == "deploy")
    hold.release()
    world.serve()
    world.until_idle()
    assert_recovered(world, 1)
    assert world.stages.recovered == ([1] if opened else [])


def test_an_aborted_deployment_of_a_dead_worker_is_not_repeated(world: World) -> None:
    """The order is in the store: the next process restores the previous release and closes the run."""
    first = world.serve()
    first.commit("a")
    world.until_idle()
    hold = world.stages.hold("deploy", 2)
    first.commit("b")
    hold.wait_until_entered()
    assert abort(world.store, NAME, "ann", "wrong prices") == "run 2 is rolled back to release 1"
    first.kill()
    hold.release()
    world.serve()
    world.until_idle()
    world.until(lambda: "run.finished" in world.kinds(2), "the last event")
    run = world.run(2)
    assert (run.state, run.reason, run.attempts) == (RunState.ROLLED_BACK, "aborted by ann: wrong prices", 1)
    assert world.stages.recovered == [2]
    assert world.stages.deployed == [1]
    world.assert_consistent()


def test_a_superseded_run_of_a_dead_worker_is_not_queued_again(world: World) -> None:
    """The newer run replaces it."""
    daemon, _ = world.hold_first_run("build")
    daemon.kill()
    world.queue(daemon, RunRequest(Trigger.WEBHOOK, sha="b"))
    world.serve()
    world.until_idle()
    assert world.states() == ["superseded", "succeeded"]
    assert world.stages.deployed == [2]
    world.assert_consistent()


def test_a_run_that_no_worker_survives_is_given_up(world: World) -> None:
    """After five attempts. The next run is executed."""
    hold = world.stages.hold("deploy", 1)
    for attempt in range(1, ATTEMPTS + 1):
        daemon = world.serve()
        if attempt == 1:
            daemon.commit("a")
        world.until(hold.entered.is_set, "the deployment begins")
        assert world.run(1).attempts == attempt
        hold.entered.clear()
        daemon.kill()
    world.serve().commit("b")
    world.until_idle()
    assert world.states() == ["interrupted", "succeeded"]
    assert world.run(1).reason == "interrupted during Deploy"
    assert world.stages.recovered == [1] * ATTEMPTS
    world.assert_consistent()


def test_a_recovery_that_dies_is_repeated(world: World) -> None:
    """The deployment stays open until one has returned."""
    daemon = world.serve()
    hold, recovery = world.stages.hold("deploy", 1), world.stages.hold("recover")
    daemon.commit("a")
    hold.wait_until_entered()
    daemon.kill()
    hold.release()
    second = world.daemon()
    second.begin()
    recovery.wait_until_entered()
    assert not second.supervisor.ready.is_set()
    second.kill()
    recovery.release()
    world.serve()
    world.until_idle()
    assert_recovered(world, 1)
    assert world.stages.recovered == [1]


def test_the_run_of_a_command_that_dies_is_not_repeated(world: World) -> None:
    """The next command closes it and its deployment, and executes its own."""
    hold = world.stages.hold("deploy", 1)
    store, power = world.stores.open(world.home.database)
    thread = threading.Thread(target=world.runner(store=store).run)
    thread.start()
    hold.wait_until_entered()
    power.dead = True
    thread.join()
    hold.release()
    assert world.run(1).state is RunState.RUNNING
    assert world.runner().run().number == 2
    assert world.states() == ["interrupted", "succeeded"]
    assert world.stages.recovered == [1]
    world.assert_consistent()


@pytest.mark.parametrize("transactions", [1, 3, 12])
def test_a_full_disk_ends_no_daemon(world: World, transactions: int) -> None:
    """Whichever transactions fail, the run succeeds or fails, and nothing stays open."""
    daemon = world.serve()
    for step in range(0, 36, max(2, transactions // 3)):
        first = daemon.power.count + step
        daemon.power.full_at = range(first, first + transactions)
        (number,) = world.queue(daemon)
        world.until_state(number, RunState.SUCCEEDED, RunState.FAILED)
        world.until(lambda: world.store.deployments.open(NAME) is None, "the deployment is closed")
    daemon.power.full_at = range(0)
    (last,) = world.queue(daemon)
    assert world.until_state(last, RunState.SUCCEEDED, RunState.FAILED).state is RunState.SUCCEEDED
    world.assert_consistent()


def test_only_one_of_two_daemons_works(world: World) -> None:
    """The second one waits for the lock, and recovers what the first one leaves when it dies."""
    first, second = world.serve(), world.daemon()
    second.begin()
    world.until(lambda: [e for e in second.heard if e.kind == "supervisor.blocked"], "the second one waits")
    first.commit("a")
    world.until_state(1, RunState.SUCCEEDED)
    hold = world.stages.hold("build", 2)
    first.commit("b")
    world.until(hold.entered.is_set, "the build begins")
    assert {event.kind for event in second.heard} == {"supervisor.blocked"}
    first.power.dead = True
    with pytest.raises(ProcessDied):
        first.stop()
    hold.release()
    world.until(second.supervisor.ready.is_set, "the second one serves")
    world.until_idle()
    assert_recovered(world, 2)
    assert world.run(2).attempts == 2


def test_a_command_does_not_work_beside_a_daemon(world: World) -> None:
    """It raises `LockHeld`, and leaves no run."""
    world.serve()
    with pytest.raises(LockHeld):
        world.runner().run()
    assert world.states() == []


def test_a_loop_that_dies_is_started_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """After longer and longer waits. The run that was queued meanwhile is executed then."""
    works, started = QueueWorker.run_once, list[float]()

    def fail_thrice(worker: QueueWorker) -> timedelta:
        started.append(world.clock.monotonic())
        if len(started) <= 3:
            raise RuntimeError("a fault")
        return works(worker)

    monkeypatch.setattr(QueueWorker, "run_once", fail_thrice)
    monkeypatch.setattr(TriggerLoop, "step", lambda _: None)
    daemon = world.daemon()
    daemon.begin()
    daemon.commit("a")
    world.until_state(1, RunState.SUCCEEDED)
    gaps = [later - earlier for earlier, later in pairwise(started)]
    assert gaps[0] >= 0.2
    assert gaps[1] >= 0.4
    assert gaps[2] >= 0.8
    assert len([event for event in daemon.heard if event.kind == "serve.failed"]) == 3
    world.assert_consistent()


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [
        (None, "succeeded", None),
        (StageFailed("no"), "failed", 1),
        (RolledBack("no"), "rolled_back", 4),
        (RollbackFailed("no"), "rollback_failed", 5),
    ],
)
@pytest.mark.parametrize("by_command", [True, False])
def test_an_outcome_that_was_stored_and_not_emitted_is_emitted_later(
    world: World, error: PenstockError | None, state: str, code: int | None, by_command: bool
) -> None:
    """By the next process that works on the pipeline, once, with the reason and the exit code."""
    store, power = world.stores.open(world.home.database)
    finish = store.runs.finish

    def finish_and_die(*values: Any) -> None:
        finish(*values)
        power.dead = True

    store.runs.finish = finish_and_die  # type: ignore[method-assign]
    if error:
        world.stages.fail("deploy", 1, error)
    with pytest.raises(ProcessDied):
        world.runner(store=store).run()
    assert world.run(1).state == state
    assert "run.finished" not in world.kinds(1)
    for _ in range(2):
        if by_command:
            world.runner().run()
        else:
            world.serve().stop()
    (event,) = [e for e in world.store.events.latest(NAME, 1) if e.kind == "run.finished"]
    assert (event.fields["state"], event.fields["reason"]) == (state, error.message if error else "")
    assert event.fields.get("code") == code
    world.assert_consistent()

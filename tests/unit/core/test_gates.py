"""Cancellation, approval and disabled transitions, of runs that a daemon executes."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from pipeline.base.errors import Cancelled, ConfigError, RollbackFailed, RolledBack, StageFailed, SystemFault
from pipeline.store.queue import STAGES, RunRequest
from pipeline.store.records import ApprovalDecision, RunKind, RunState, StageState, Trigger
from tests.unit.core.world import NAME, World


def test_cancelling_a_queued_run(world: World) -> None:
    """It never starts, and the run before it continues."""
    world.configure("queued")
    daemon = world.serve()
    hold = world.stages.hold("build", 1)
    daemon.commit("a")
    daemon.commit("b")
    hold.wait_until_entered()
    assert daemon.control.cancel(NAME, 2, by="ann").state is RunState.CANCELLED
    hold.release()
    world.until_idle()
    assert world.states() == ["succeeded", "cancelled"]
    assert ("source", 2) not in world.stages.passed
    with pytest.raises(ConfigError, match="has already finished: succeeded"):
        daemon.control.cancel(NAME, 1, by="ann")
    world.assert_consistent()


@pytest.mark.parametrize("stage", STAGES)
def test_cancelling_a_stage(world: World, stage: str) -> None:
    """A stage that hangs ends, no later one begins, and the next run is not affected."""
    daemon, _ = world.hold_first_run(stage)
    daemon.control.cancel(NAME, 1, by="ann")
    assert world.until_state(1, RunState.CANCELLED).reason == "cancelled by ann"
    records = world.store.runs.stages(NAME, 1)
    assert [record.name for record in records] == list(STAGES[: STAGES.index(stage) + 1])
    assert records[-1].state is StageState.CANCELLED
    daemon.commit("b")
    world.until_idle()
    assert world.stages.deployed == [2]
    world.assert_consistent()


@pytest.mark.parametrize("stage", STAGES)
def test_cancelling_a_run_that_waits_for_a_transition(world: World, stage: str) -> None:
    """It leaves the gate, and does not enter the stage."""
    daemon = world.serve()
    daemon.control.disable_transition(NAME, stage, "a freeze", by="ann")
    daemon.commit("a")
    world.until_waiting(1, "a freeze")
    daemon.control.cancel(NAME, 1, by="ann")
    world.until_state(1, RunState.CANCELLED)
    assert (stage, 1) not in world.stages.passed
    world.assert_consistent()


def test_a_run_waits_until_the_transition_is_enabled(world: World) -> None:
    """A rollback passes it, and a newer commit supersedes it."""
    daemon = world.serve()
    for sha in "ab":
        daemon.commit(sha)
        world.until_idle()
    daemon.control.disable_transition(NAME, "deploy", "a freeze", by="ann")
    daemon.commit("c")
    world.until_waiting(3, "a freeze")
    world.queue(daemon, RunRequest(Trigger.COMMAND, kind=RunKind.ROLLBACK))
    world.until_state(4, RunState.SUCCEEDED)
    daemon.commit("d")
    world.until_state(3, RunState.SUPERSEDED)
    world.until_waiting(5, "a freeze")
    daemon.control.enable_transition(NAME, "deploy", by="ann")
    world.until_idle()
    assert world.stages.deployed == [1, 2, 5]
    world.assert_consistent()


@pytest.mark.parametrize(("granted", "state"), [(True, RunState.SUCCEEDED), (False, RunState.FAILED)])
def test_a_decision_ends_the_wait_for_approval(world: World, granted: bool, state: RunState) -> None:
    """The first decision counts."""
    world.configure(approval="24h")
    daemon = world.serve()
    daemon.commit("a")
    world.until_waiting(1, "approval")
    assert ("deploy", 1) not in world.stages.passed
    daemon.control.decide(NAME, 1, granted=granted, by="ann", comment="")
    world.store.queue.record_decision(NAME, 1, ApprovalDecision(not granted, "bob", "", world.clock.now().wall))
    run = world.until_state(1, RunState.SUCCEEDED, RunState.FAILED)
    assert run.state is state
    assert run.reason == ("" if granted else "rejected by ann")
    world.assert_consistent()


def test_an_approval_times_out(world: World) -> None:
    """The run fails, and the next one starts."""
    world.configure(approval="1h")
    daemon = world.serve()
    daemon.commit("a")
    world.until_waiting(1, "approval")
    world.clock.advance(timedelta(hours=2))
    assert world.until_state(1, RunState.FAILED).reason == "not approved within 1h"
    assert world.stages.deployed == []
    world.assert_consistent()


def test_a_restart_does_not_extend_the_time_for_approval(world: World) -> None:
    """It counts from the time of queueing, whichever process the run waits in."""
    world.configure(approval="1h")
    daemon = world.serve()
    daemon.commit("a")
    world.until_waiting(1, "approval")
    world.clock.advance(timedelta(minutes=50))
    daemon.stop()
    assert world.states() == ["queued"]
    world.serve()
    world.until_waiting(1, "approval")
    world.clock.advance(timedelta(minutes=11))
    assert world.until_state(1, RunState.FAILED).reason == "not approved within 1h"


def test_cancelling_a_run_that_waits_for_approval(world: World) -> None:
    """A later decision is refused."""
    world.configure(approval="24h")
    daemon = world.serve()
    daemon.commit("a")
    world.until_waiting(1, "approval")
    daemon.control.cancel(NAME, 1, by="ann")
    world.until_state(1, RunState.CANCELLED)
    with pytest.raises(ConfigError, match="does not wait for approval"):
        daemon.control.decide(NAME, 1, granted=True, by="ann", comment="")
    world.assert_consistent()


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (StageFailed("unhealthy"), RunState.FAILED),
        (RolledBack("unhealthy"), RunState.ROLLED_BACK),
        (RollbackFailed("unhealthy"), RunState.ROLLBACK_FAILED),
        (SystemFault("no engine"), RunState.FAILED),
        (RuntimeError("a fault"), RunState.FAILED),
        (Cancelled("cancelled"), RunState.CANCELLED),
    ],
)
def test_the_error_of_a_stage_is_the_outcome_of_its_run(world: World, error: Exception, state: RunState) -> None:
    """No stage follows, and the daemon executes the next run."""
    daemon = world.serve()
    world.stages.fail("build", 1, error)
    daemon.commit("a")
    assert world.until_state(1, state).reason
    assert ("deploy", 1) not in world.stages.passed
    daemon.commit("b")
    world.until_idle()
    assert world.stages.deployed == [2]
    world.assert_consistent()


def test_a_command_is_cancelled(world: World) -> None:
    """It ends its run in order, and the lock is free for the next command."""
    cancelled = threading.Event()
    cancelled.set()
    world.stages.hold("build", 1)
    with pytest.raises(Cancelled):
        world.runner(cancelled).run()
    assert world.run(1).state is RunState.CANCELLED
    assert world.runner().run().state is RunState.SUCCEEDED
    world.assert_consistent()

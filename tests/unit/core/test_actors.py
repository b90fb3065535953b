"""Who did it: every action of a user is in the events with the user, and what no user did has none."""

from __future__ import annotations

import threading

import pytest

from pipeline.base.errors import Cancelled
from pipeline.events import Event
from pipeline.store.queue import RunRequest
from pipeline.store.records import RunKind, RunState, Trigger
from tests.unit.core.world import NAME, World


def told(world: World, kind: str, run: int | None = None) -> Event:
    """Return the latest event of a kind."""
    found = [event for event in world.store.events.latest(NAME, run) if event.kind == kind]
    assert found, kind
    return found[-1]


def test_the_user_of_a_run(world: World) -> None:
    """The run has who requested it, in the queue and at its start. That of a commit has nobody."""
    daemon = world.serve()
    daemon.control.submit(NAME, RunRequest(Trigger.COMMAND, "main", by="anna"))
    world.until_state(1, RunState.SUCCEEDED)
    daemon.commit("b")
    world.until_state(2, RunState.SUCCEEDED)
    assert [world.run(number).by for number in (1, 2)] == ["anna", None]
    assert told(world, "run.queued", 1).message == "run 1 queued by anna: main"
    assert told(world, "run.started", 1).message == "run 1 of shop (by anna)"
    assert [told(world, kind, 1).fields["by"] for kind in ("run.queued", "run.started")] == ["anna", "anna"]
    assert told(world, "run.queued", 2).message.startswith("run 2 queued by hook: b")
    assert not {"by"} & {*told(world, "run.queued", 2).fields, *told(world, "run.started", 2).fields}
    assert "by" not in told(world, "run.finished", 1).fields


def test_the_user_of_a_retry_is_another(world: World) -> None:
    """The new run is of who retries it, not of who requested the first one."""
    daemon = world.serve()
    world.stages.fail("build", 1, Cancelled("cancelled"))
    daemon.control.submit(NAME, RunRequest(Trigger.COMMAND, "main", by="anna"))
    world.until_state(1, RunState.CANCELLED)
    assert daemon.control.retry(NAME, 1, by="bob").by == "bob"
    assert (world.run(1).by, world.run(2).retry_of) == ("anna", 1)
    world.until_idle()


def test_the_user_who_cancels_a_queued_run(world: World) -> None:
    """The first one counts."""
    world.configure("queued")
    daemon, hold = world.hold_first_run("build")
    daemon.commit("b")
    assert daemon.control.cancel(NAME, 2, by="anna").reason == "cancelled by anna"
    assert daemon.control.cancel(NAME, 2, by="bob").cancelled_by == "anna"
    event = told(world, "run.cancelled", 2)
    assert (event.message, event.fields["by"]) == ("run 2 cancelled by anna before it started", "anna")
    assert world.kinds(2).count("run.cancelled") == 1
    hold.release()
    world.until_idle()


def test_the_user_who_cancels_a_running_run(world: World) -> None:
    """Its last event has the user, as a field and in the reason."""
    daemon, _ = world.hold_first_run("deploy")
    daemon.control.cancel(NAME, 1, by="anna")
    assert world.until_state(1, RunState.CANCELLED).reason == "cancelled by anna"
    world.until(lambda: "run.finished" in world.kinds(1), "the last event")
    assert told(world, "run.finished", 1).fields["by"] == "anna"


def test_a_cancelled_run_whose_process_dies_is_not_repeated(world: World) -> None:
    """The user's order is stored before the run is stopped, so a kill in between does not undo it."""
    daemon, _ = world.hold_first_run("build", deaf=True)
    world.store.queue.cancel(NAME, 1, by="anna")
    daemon.kill()
    world.serve()
    run = world.until_state(1, RunState.CANCELLED)
    assert run.reason == "cancelled by anna; interrupted during Build"
    assert (run.attempts, told(world, "run.finished", 1).fields["by"]) == (1, "anna")
    world.assert_consistent()


def test_a_command_is_of_its_own_user(world: World) -> None:
    """A command that executes its run itself is cancelled by its own user."""
    cancelled = threading.Event()
    cancelled.set()
    world.stages.hold("build", 1)
    with pytest.raises(Cancelled, match=r"^cancelled by anna"):
        world.runner(cancelled, by="anna").run()
    assert (world.run(1).by, told(world, "run.finished", 1).fields["by"]) == ("anna", "anna")
    assert world.runner(by="bob").run().by == "bob"


@pytest.mark.parametrize(("granted", "kind"), [(True, "run.approved"), (False, "run.rejected")])
def test_the_user_who_decides(world: World, granted: bool, kind: str) -> None:
    """An approval and a rejection are events of their own, with the comment."""
    world.configure(approval="24h")
    daemon = world.serve()
    daemon.commit("a")
    world.until_waiting(1, "approval")
    daemon.control.decide(NAME, 1, granted=granted, by="anna", comment="after lunch")
    world.until_idle()
    assert told(world, kind, 1).fields == {"by": "anna", "comment": "after lunch"}
    assert told(world, kind, 1).message == f"{kind.removeprefix('run.')} by anna: after lunch"


def test_the_user_of_a_transition(world: World) -> None:
    """Both events have the user. A second time changes nothing and is no event."""
    control = world.serve().control
    control.disable_transition(NAME, "deploy", "a freeze", by="anna")
    assert [control.enable_transition(NAME, "deploy", by="bob") for _ in range(2)] == [True, False]
    disabled, enabled = told(world, "transition.disabled"), told(world, "transition.enabled")
    assert disabled.message == "transition into Deploy disabled: a freeze (by anna)"
    assert (disabled.fields["by"], enabled.fields["by"]) == ("anna", "bob")


def test_a_rollback_that_a_user_requests(world: World) -> None:
    """Its events say who."""
    daemon = world.serve()
    for sha in "ab":
        daemon.commit(sha)
        world.until_idle()
    daemon.control.submit(NAME, RunRequest(Trigger.COMMAND, kind=RunKind.ROLLBACK, by="anna"))
    world.until_state(3, RunState.SUCCEEDED)
    assert told(world, "run.queued", 3).message == "rollback 3 queued by anna"
    assert told(world, "run.started", 3).message == "rollback 3 of shop (by anna)"


def test_a_run_that_is_queued_again_is_not_cancelled(world: World) -> None:
    """An order that could not stop it any more is refused, and has no effect later."""
    world.store.queue.put(NAME, [RunRequest(Trigger.COMMAND, sha="a", by="anna")])
    world.store.queue.claim(NAME, "superseded")
    world.store.queue.cancel(NAME, 1, by="bob")
    run = world.store.queue.requeue(NAME, 1, "superseded", counted=False)
    assert (run.state, run.by, run.cancelled_by) == (RunState.QUEUED, "anna", None)

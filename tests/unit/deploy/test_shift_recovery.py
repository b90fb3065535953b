"""What the daemon and commands do with a deployment in whose traffic shift a process has died."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

import pytest

from pipeline.api import StageContext
from pipeline.base.errors import ConfigError, LockHeld, PenstockError, StageFailed
from pipeline.base.lock import work_lock
from pipeline.events import Event
from pipeline.runner.deployment_answer import abort, promote
from pipeline.runner.local import Runner
from pipeline.runner.status import PipelineStatus, has_abandoned_work
from pipeline.store.queue import RunRequest
from pipeline.store.records import DeploymentState, RunState, Trigger
from stages.deploy.release_rollout import ReleaseRollout
from tests.unit.deploy.deployments import Killed
from tests.unit.deploy.shifts import Shop


@pytest.fixture
def shop(context: StageContext, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """The shop with an active release, and a canary from the queue whose process has died in its first step."""
    shop = Shop(context, monkeypatch)
    shop.strategy = "{type: canary, percent: 10, bake_time: 30s}"
    with shop.running():
        shop.deploy("a")
        shop.is_queued = True
        shop.kill("b", "shift.step")
        shop.events.clear()
        yield shop


def state(context: StageContext) -> RunState:
    """Return the state of the run that has died."""
    return context.store.queue.run("shop", 2).state


def test_the_daemon_holds_it_for_its_run(shop: Shop, context: StageContext) -> None:
    """The run is queued again. Until it continues, nothing is undone, and nothing is abandoned."""
    assert has_abandoned_work(context.store, "shop")
    shop.recover()
    assert state(context) is RunState.QUEUED
    assert shop.shares() == {"web": 10.0}
    assert not has_abandoned_work(context.store, "shop")
    status = PipelineStatus.of(context.home, context.store, "shop")
    assert (status.held, status.interrupted) == (True, False)
    held = [event.message for event in shop.events if event.kind == "deployment.held"]
    assert held == [
        "the deployment of release 2 stays as it is: web is in step 1 of 2 of canary, with 10 % of the requests"
    ]
    shop.deploy("b")
    shop.assert_at_home("b")
    assert context.store.deployments.strategies("shop", [2]) == {2: "canary"}


def test_a_run_that_died_too_often_is_undone(shop: Shop, context: StageContext) -> None:
    """It is not queued again, so nothing would continue its deployment."""
    for _ in range(3):
        shop.recover()
        shop.kill("b", "deployment.resumed")
    assert context.store.queue.run("shop", 2).attempts == 4
    shop.recover()
    assert shop.shares() == {"web": 10.0}
    shop.kill("b", "deployment.resumed")
    shop.recover()
    assert state(context) is RunState.INTERRUPTED
    shop.assert_at_home("a")


def test_a_cancelled_run_is_undone(shop: Shop, context: StageContext) -> None:
    """Its deployment is abandoned once it has left the queue."""
    shop.recover()
    context.store.queue.cancel("shop", 2, "cancelled")
    assert has_abandoned_work(context.store, "shop")
    shop.recover()
    shop.assert_at_home("a")


def test_recover_undoes_what_a_queued_run_would_continue(shop: Shop, context: StageContext) -> None:
    """The user wants the previous release, and no daemon runs."""
    shop.recover()
    shop.recover(holds=False)
    shop.assert_at_home("a")
    assert state(context) is RunState.QUEUED


def test_the_active_commit_is_deployed_again(shop: Shop, context: StageContext) -> None:
    """A run of the active release is no empty run while another release has some of the requests."""
    shop.recover()
    assert not shop.is_current()
    context.store.queue.cancel("shop", 2, "cancelled")
    shop.deploy("a")
    shop.assert_at_home("a")
    assert shop.is_current()


def test_a_run_that_fails_before_deploy_undoes_it(context: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command holds the canary for its run. If the run does not come to Deploy, nobody would judge the canary."""
    shop = Shop(context, monkeypatch)
    shop.strategy = "{type: canary, percent: 10, bake_time: 30s}"
    with shop.running():
        shop.deploy("a")
        shop.kill("b", "shift.step")
        assert shop.shares() == {"web": 10.0}
        shares: list[object] = []

        def note(event: Event) -> None:
            if event.kind == "run.started":
                shares.append(shop.shares())

        runner = Runner(context.home, shop.configuration(), context.store, [note, shop.events.append], clock=shop.clock)
        with pytest.raises(PenstockError) as caught:
            runner.run()
        (run,) = context.store.runs.latest("shop", 1)
        assert (run.state, run.reason) == (RunState.FAILED, caught.value.message)
        assert [stage.name for stage in context.store.runs.stages("shop", run.number)] == ["source"]
        assert shares == [{"web": 10.0}]
        shop.assert_at_home("a")


def test_an_aborted_deployment_that_cannot_be_undone(
    shop: Shop, context: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its run is recorded as one whose rollback has failed, and not as rolled back."""

    def fail(*_: object) -> NoReturn:
        raise StageFailed("the disk is full")

    abort(context.store, "shop", "ann")
    with monkeypatch.context() as patch:
        patch.setattr(ReleaseRollout, "roll_out", fail)
        shop.recover()
    found = context.store.queue.run("shop", 2)
    reason = "aborted by ann; the rollback failed: the disk is full"
    assert (found.state, found.reason) == (RunState.ROLLBACK_FAILED, reason)
    (finished,) = [event for event in shop.events if event.kind == "run.finished"]
    assert (finished.fields["state"], finished.fields["code"]) == ("rollback_failed", 5)


@pytest.mark.parametrize(
    ("outcome", "reason", "state"),
    [
        (DeploymentState.ROLLED_BACK, "aborted by ann", RunState.ROLLED_BACK),
        (DeploymentState.FAILED, "aborted by ann", RunState.FAILED),
        (DeploymentState.FAILED, "the disk is full", RunState.ROLLBACK_FAILED),
        (DeploymentState.SUCCEEDED, "", RunState.QUEUED),
    ],
)
def test_a_process_that_died_after_an_aborted_deployment(
    shop: Shop, context: StageContext, outcome: DeploymentState, reason: str, state: RunState
) -> None:
    """Its run gets the outcome of the deployment. One that had succeeded before the order is no failure."""
    abort(context.store, "shop", "ann")
    row = context.store.deployments.open("shop")
    assert row is not None
    context.store.deployments.finish(row, outcome, reason)
    shop.recover()
    assert context.store.queue.run("shop", 2).state is state


def test_a_newer_commit_does_not_interrupt_it(shop: Shop, context: StageContext) -> None:
    """A commit that comes while the daemon is away, or before the run continues, waits for the end of the canary."""
    queue = context.store.queue
    queue.put("shop", [RunRequest(Trigger.HOOK, sha="c" * 40)])
    shop.recover()
    queue.put("shop", [RunRequest(Trigger.HOOK, sha="d" * 40)])
    assert [(run.number, run.state) for run in queue.unfinished("shop")] == [(2, "queued"), (4, "queued")]
    shop.recover()
    assert shop.shares() == {"web": 10.0}
    claimed = queue.claim("shop", "superseded")
    assert claimed is not None
    assert claimed.number == 2
    queue.enter("shop", 2, "source")
    queue.put("shop", [RunRequest(Trigger.HOOK, sha="e" * 40)])
    assert queue.run("shop", 2).superseded_by is None


def test_a_command_that_overtakes_it_replaces_its_run(shop: Shop, context: StageContext) -> None:
    """Without a daemon, a command runs the newest commit. The interrupted run would deploy an older one after it."""
    shop.recover()
    run = context.store.queue.begin("shop", RunRequest(Trigger.COMMAND), "superseded")
    assert run is not None
    context.store.queue.set_commit(
        "shop", run.number, sha="c" * 40, ref="main", author="Ann", subject="Say", mode="superseded"
    )
    assert (state(context), context.store.queue.run("shop", 2).superseded_by) == (RunState.SUPERSEDED, run.number)


def test_a_run_whose_deployment_was_undone_is_superseded(shop: Shop, context: StageContext) -> None:
    """It has nothing to continue."""
    shop.recover()
    shop.recover(holds=False)
    context.store.queue.put("shop", [RunRequest(Trigger.HOOK, sha="c" * 40)])
    assert state(context) is RunState.SUPERSEDED


@pytest.fixture
def command(context: StageContext, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """The shop with an active release, and a canary of a command whose process has died in its first bake time."""
    shop = Shop(context, monkeypatch)
    shop.strategy = "{type: canary, percent: 10, bake_time: 20h}"
    with shop.running():
        shop.deploy("a")
        shop.die_after_looks = 5
        with pytest.raises(Killed):
            shop.deploy("b")
        shop.die_after_looks = None
        shop.events.clear()
        yield shop


def test_the_daemon_continues_what_was_promoted(command: Shop, context: StageContext) -> None:
    """The answer to a command that has died is kept until its deployment has ended. It is that of one wait only."""
    promote(context.store, "shop", "ann")
    command.recover(serves=True)
    run = context.store.queue.run("shop", 2)
    assert (run.state, run.attempts, run.queued_at is not None) == (RunState.QUEUED, 1, True)
    assert command.shares() == {"web": 10.0}
    assert not has_abandoned_work(context.store, "shop")
    command.is_queued = True
    before = command.clock.monotonic()
    command.deploy("b")
    assert command.clock.monotonic() - before < 10 * 3600
    command.assert_at_home("b")


def test_the_daemon_undoes_what_was_not_promoted(command: Shop, context: StageContext) -> None:
    """Nobody has asked for the rest of the deployment of a command that has died."""
    command.recover(serves=True)
    assert state(context) is RunState.INTERRUPTED
    command.assert_at_home("a")


def test_another_command_undoes_what_was_promoted(command: Shop, context: StageContext) -> None:
    """Only the daemon executes queued runs."""
    promote(context.store, "shop", "ann")
    command.recover()
    assert state(context) is RunState.INTERRUPTED
    command.assert_at_home("a")


def test_an_abort_goes_before_a_promotion(command: Shop, context: StageContext) -> None:
    """Nothing is queued again."""
    promote(context.store, "shop", "ann")
    abort(context.store, "shop", "ann")
    command.recover(serves=True)
    assert state(context) is RunState.ROLLED_BACK
    command.assert_at_home("a")


def refused(shop: Shop, context: StageContext) -> str:
    """Run a command that is refused because other runs are queued, and return its error."""
    shop.mode = "queued"
    runner = Runner(context.home, shop.configuration(), context.store, [shop.events.append], clock=shop.clock)
    with pytest.raises(ConfigError) as error:
        runner.run()
    assert error.value.hint == "start `pipeline serve` to run them, or cancel them with `pipeline cancel`"
    return error.value.message


def test_a_refused_run_undoes_what_nothing_continues(command: Shop, context: StageContext) -> None:
    """The canary of a command that has died gets no requests any more, and the user is told."""
    context.store.queue.put("shop", [RunRequest(Trigger.HOOK, sha="c" * 40)], mode="queued")
    assert refused(command, context) == "earlier runs are still queued; the interrupted deployment was undone"
    command.assert_at_home("a")
    assert state(context) is RunState.INTERRUPTED


def test_a_refused_run_that_cannot_undo_it(
    command: Shop, context: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user learns that the previous release is not back."""

    def fail(*_: object) -> NoReturn:
        raise StageFailed("it exits")

    context.store.queue.put("shop", [RunRequest(Trigger.HOOK, sha="c" * 40)], mode="queued")
    monkeypatch.setattr(ReleaseRollout, "roll_out", fail)
    expected = "earlier runs are still queued; the interrupted deployment could not be undone, see `pipeline events`"
    assert refused(command, context) == expected
    assert "recovery.failed" in command.kinds("recovery.")


def test_a_refused_run_leaves_what_a_queued_one_continues(shop: Shop, context: StageContext) -> None:
    """It names the run."""
    expected = "earlier runs are still queued, and run 2 continues the interrupted deployment of release 2"
    assert refused(shop, context) == expected
    assert shop.shares() == {"web": 10.0}
    assert state(context) is RunState.QUEUED


def test_a_refused_run_without_a_deployment(command: Shop, context: StageContext) -> None:
    """Nothing is undone."""
    command.recover(holds=False)
    context.store.queue.put("shop", [RunRequest(Trigger.HOOK, sha="c" * 40)], mode="queued")
    assert refused(command, context) == "earlier runs are still queued"


def test_the_parameters_of_a_command_are_those_of_its_run(command: Shop, context: StageContext) -> None:
    """They are stored, so the daemon that continues it, or retries it, loads the same configuration."""
    given = {"colour": "red"}
    runner = Runner(context.home, command.configuration(), context.store, clock=command.clock, parameters=given)
    with pytest.raises(PenstockError):
        runner.run()
    assert context.store.queue.run("shop", 3).options.parameters == given


_STEP = "web is in step 1 of 2 of canary, with 10 % of the requests"
_SHIFT = [
    "declare the target group web-next beside web; it gets no requests",
    "start 2 containers in web-next, and wait until all are healthy",
    "send 10 % of the requests to the new containers, for at least 30s",
    "send 100 % of the requests to the new containers",
    "drain and stop the 2 previous containers",
    "move the new targets to web, and remove web-next",
    "healthy targets: the rollout keeps all 2 previous ones until the last step is over; containers: at most 4",
]


@pytest.mark.parametrize(
    ("commit", "first"),
    [
        ("b", f"continue the interrupted deployment of release 2: {_STEP}"),
        ("c", f"undo the interrupted deployment of release 2 first: {_STEP}"),
    ],
)
def test_the_plan_beside_an_interrupted_deployment(shop: Shop, commit: str, first: str) -> None:
    """It says what a run does with it, and counts the containers of the active release only."""
    assert shop.plan(commit) == [first, *_SHIFT]


def test_the_plan_beside_a_deployment_in_progress(shop: Shop, context: StageContext) -> None:
    """It says that a run waits for it, and where its numbers start from."""
    with work_lock(context.home.lock("shop"), "run of shop"):
        assert shop.plan("c") == [
            f"wait for the end of the open deployment of release 2: {_STEP}",
            "the steps below are those after a rollback of it",
            *_SHIFT,
        ]


def test_another_command_beside_a_deployment_says_how_to_end_it(shop: Shop, context: StageContext) -> None:
    """The error of the lock names `pipeline abort`."""
    runner = Runner(context.home, shop.configuration(), context.store, (), context.cancelled)
    with work_lock(context.home.lock("shop"), "run of shop"), pytest.raises(LockHeld) as error:
        runner.rollback()
    assert error.value.hint == (
        "wait for it with --wait 10m; `pipeline promote` ends a pause or a bake time of the deployment of release 2, "
        "`pipeline abort` rolls it back"
    )

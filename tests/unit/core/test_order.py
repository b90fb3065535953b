"""The order of runs: a newer commit replaces the older ones, and no two deployments happen at once."""

from __future__ import annotations

import threading

import pytest

from pipeline.base.errors import ConfigError
from pipeline.store.order import Mode
from pipeline.store.queue import RunRequest
from pipeline.store.records import RunKind, RunState, Trigger
from tests.support.sample import sampled
from tests.unit.core.world import NAME, World

WRITERS = 8
RUNS_PER_WRITER = sampled(30)


def test_a_commit_is_built_and_deployed(world: World) -> None:
    """Its run passes the three stages, and its release is active."""
    daemon = world.serve()
    daemon.commit("a")
    world.until_idle()
    assert world.stages.passed == [("source", 1), ("build", 1), ("deploy", 1)]
    active = world.store.releases.active(NAME)
    assert active is not None
    assert (active.sha, active.run) == ("a", 1)
    world.assert_consistent()


def test_a_commit_is_queued_once_by_two_scans(world: World) -> None:
    """Threads that scan at the same time find each commit once, and queue all of a push."""
    daemon = world.serve()
    daemon.commit("a")
    world.stages.commits += ["b", "c"]
    threads = [threading.Thread(target=daemon.commit) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    world.until_idle()
    assert [run.sha for run in reversed(world.store.runs.latest(NAME))] == ["a", "b", "c"]
    world.assert_consistent()


def test_a_commit_supersedes_a_queued_run(world: World) -> None:
    """The queued run never starts."""
    world.configure("superseded")
    daemon, hold = world.hold_first_run("deploy")
    second = world.stages.hold("deploy", 2)
    daemon.commit("b")
    world.until_waiting(2, "run 1")
    daemon.commit("c")
    world.until_state(2, RunState.SUPERSEDED)
    hold.release()
    world.until_idle()
    assert world.states() == ["succeeded", "superseded", "succeeded"]
    assert world.stages.deployed == [1, 3]
    assert not second.entered.is_set()
    world.assert_consistent()


@pytest.mark.parametrize("stage", ["source", "build"])
def test_a_commit_supersedes_a_run_before_deploy(world: World, stage: str) -> None:
    """The stage in progress is stopped, and the newer run starts."""
    daemon, _ = world.hold_first_run(stage)
    daemon.commit("b")
    world.until_idle()
    assert world.states() == ["superseded", "succeeded"]
    assert world.run(1).superseded_by == 2
    assert world.stages.deployed == [2]
    world.assert_consistent()


def test_a_commit_never_supersedes_a_deployment(world: World) -> None:
    """Both are deployed, in order. The newer one is built meanwhile."""
    daemon, hold = world.hold_first_run("deploy")
    daemon.commit("b")
    world.until_waiting(2, "run 1")
    assert ("build", 2) in world.stages.passed
    hold.release()
    world.until_idle()
    assert world.states() == ["succeeded", "succeeded"]
    assert world.stages.deployed == [1, 2]
    world.assert_consistent()


@pytest.mark.parametrize("mode", ["queued", "parallel"])
def test_all_commits_are_deployed_in_order(world: World, mode: Mode) -> None:
    """The first one takes longest to build, and the third fails."""
    world.configure(mode)
    daemon = world.serve()
    hold = world.stages.hold("build", 1)
    world.stages.fail("build", 3, RuntimeError("a fault"))
    daemon.commit("zero")
    hold.wait_until_entered()
    daemon.commit("a", "b", "c", "d", "e")
    if mode == "parallel":
        world.until_waiting(2, "run 1")
    else:
        assert ("source", 2) not in world.stages.passed
    hold.release()
    world.until_idle()
    assert world.stages.deployed == [1, 2, 4, 5, 6]
    assert world.run(3).state is RunState.FAILED
    world.assert_consistent()


@pytest.mark.parametrize("mode", ["superseded", "queued", "parallel"])
def test_no_two_deployments_overlap(world: World, mode: Mode) -> None:
    """Many threads queue runs, and rollbacks and repairs happen between them."""
    world.configure(mode)
    daemon = world.serve()
    daemon.commit("first")
    world.until_state(1, RunState.SUCCEEDED)

    def write(writer: int) -> None:
        for number in range(RUNS_PER_WRITER if mode == "superseded" else RUNS_PER_WRITER // 2):
            world.queue(daemon, RunRequest(Trigger.WEBHOOK, sha=f"{writer}.{number}"))
            if number % 5 == 4:
                world.queue(daemon, RunRequest(Trigger.COMMAND, kind=RunKind.ROLLBACK))
            world.stages.findings = [f"{writer}.{number} is missing"]

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(WRITERS)]
    for thread in threads:
        thread.start()
    world.until(lambda: not any(thread.is_alive() for thread in threads), "all runs are queued")
    world.until_idle()
    assert world.stages.deployed == sorted(world.stages.deployed)
    assert len(set(world.stages.deployed)) == len(world.stages.deployed)
    runs = world.store.runs.latest(NAME, 1000)
    succeeded = {r.number for r in runs if r.kind is RunKind.RUN and r.state is RunState.SUCCEEDED}
    assert succeeded <= set(world.stages.deployed)
    # The history keeps fewer runs than there were: a row may be gone while its thread ends.
    assert "serve.failed" not in [event.kind for event in daemon.heard]
    last = max(r.number for r in runs if r.kind is RunKind.RUN)
    assert world.run(last).state is RunState.SUCCEEDED
    world.assert_consistent()


def test_a_command_gives_way_to_queued_runs(world: World) -> None:
    """A run that a command executes itself never overtakes them, and needs the lock of the pipeline."""
    run = world.runner().run()
    assert (run.number, run.state) == (1, RunState.SUCCEEDED)
    daemon = world.serve()
    daemon.commit("a")
    world.until_idle()
    assert world.stages.deployed == [1, 2]
    world.assert_consistent()


@pytest.mark.parametrize("mode", ["superseded", "queued", "parallel"])
@pytest.mark.parametrize("work", ["rollback", "down"])
def test_a_rollback_passes_queued_runs_without_a_daemon(world: World, mode: Mode, work: str) -> None:
    """No process executes the queued run, so waiting for it would not end. It is deployed after the next start."""
    world.configure(mode)
    daemon = world.serve()
    for sha in "ab":
        daemon.commit(sha)
        world.until_idle()
    daemon.stop()
    world.queue(daemon, RunRequest(Trigger.HOOK, sha="c"))
    runner = world.runner()
    run = runner.rollback() if work == "rollback" else runner.down()
    assert (run.number, run.state) == (4, RunState.SUCCEEDED)
    assert world.run(3).state is RunState.QUEUED
    waiting = [event.message for event in world.store.events.latest(NAME, 3) if event.kind == "run.waiting"]
    assert waiting == [
        f"run 3 is still queued, and `pipeline serve` will deploy it after this {work}; "
        "to prevent this: pipeline cancel 3"
    ]
    world.serve()
    world.until_idle()
    assert world.stages.deployed == [1, 2, 3]
    world.assert_consistent()


def test_a_rollback_passes_the_run_that_a_killed_daemon_left(world: World) -> None:
    """Recovery puts that run back into the queue first."""
    daemon = world.serve()
    for sha in "ab":
        daemon.commit(sha)
        world.until_idle()
    hold = world.stages.hold("build", 3)
    daemon.commit("c")
    hold.wait_until_entered()
    daemon.kill()
    assert world.runner().rollback().state is RunState.SUCCEEDED
    assert world.run(3).state is RunState.QUEUED


def test_the_latest_rollback_counts_without_a_daemon(world: World) -> None:
    """One that a dead daemon never started is not done on top of it."""
    daemon = world.serve()
    for sha in "abc":
        daemon.commit(sha)
        world.until_idle()
    daemon.stop()
    world.queue(daemon, RunRequest(Trigger.COMMAND, kind=RunKind.ROLLBACK))
    assert world.runner().rollback().state is RunState.SUCCEEDED
    assert world.run(4).state is RunState.SUPERSEDED
    assert "run.superseded" in world.kinds(4)
    active = world.store.releases.active(NAME)
    assert active is not None
    assert active.sha == "b"


def test_a_run_does_not_pass_a_queued_rollback_without_a_daemon(world: World) -> None:
    """It would wait for the rollback for ever, and the rollback would undo it later."""
    daemon = world.serve()
    for sha in "ab":
        daemon.commit(sha)
        world.until_idle()
    daemon.stop()
    world.queue(daemon, RunRequest(Trigger.COMMAND, kind=RunKind.ROLLBACK))
    with pytest.raises(ConfigError, match="earlier runs are still queued"):
        world.runner().run("c")
    assert world.states() == ["succeeded", "succeeded", "queued"]


def test_a_run_of_a_command_replaces_queued_runs_of_other_commits(world: World) -> None:
    """It passes a queued run of its own commit, and ends the others once its commit is known."""
    daemon = world.serve()
    daemon.stop()
    world.queue(daemon, RunRequest(Trigger.HOOK, sha="old"))
    world.queue(daemon, RunRequest(Trigger.SCHEDULE))
    assert world.run(1).state is RunState.QUEUED
    assert world.runner().run("new").state is RunState.SUCCEEDED
    assert world.states() == ["superseded", "queued", "succeeded"]
    assert "run.superseded" in world.kinds(1)


@pytest.mark.parametrize("approval", ["", "1h"])
def test_a_schedule_shorter_than_a_run_deploys(world: World, approval: str) -> None:
    """Each due time leaves the run of the same commit alone, and at most one more waits behind it."""
    world.configure("superseded", approval)
    daemon = world.serve()
    hold = world.stages.hold("build", 1)
    daemon.commit("a")
    hold.wait_until_entered()
    for _ in range(5):
        daemon.ref_tracker.enqueue(RunRequest(Trigger.SCHEDULE))
    assert world.states() == ["running", "queued"]
    hold.release()
    if approval:
        for number in (1, 2):
            world.until_waiting(number, "approval")
            daemon.control.decide(NAME, number, granted=True, by="ann", comment="")
    world.until_idle()
    assert world.states() == ["succeeded", "succeeded"]
    assert world.stages.deployed == [1, 2]
    world.assert_consistent()


@pytest.mark.parametrize("requested", [None, "main", "a" * 40])
def test_a_command_for_the_commit_in_progress_replaces_nothing(world: World, requested: str | None) -> None:
    """Under each of the commit's names."""
    daemon = world.serve()
    hold = world.stages.hold("build", 1)
    daemon.commit("a" * 40)
    hold.wait_until_entered()
    daemon.control.submit(NAME, RunRequest(Trigger.COMMAND, requested))
    daemon.ref_tracker.scan(Trigger.POLL)
    assert world.run(2).sha == "a" * 40
    hold.release()
    world.until_idle()
    assert world.states() == ["succeeded", "succeeded"]


def test_a_command_for_another_commit_replaces_the_run_in_progress(world: World) -> None:
    """As soon as a scan has found its commit."""
    daemon = world.serve()
    hold = world.stages.hold("build", 1)
    daemon.commit("a" * 40)
    hold.wait_until_entered()
    run = daemon.control.submit(NAME, RunRequest(Trigger.COMMAND, "b" * 40))
    world.until_state(run.number, RunState.SUCCEEDED)
    assert world.states() == ["superseded", "succeeded"]


def test_a_newer_commit_replaces_a_scheduled_run(world: World) -> None:
    """A schedule does not hold up a push."""
    daemon = world.serve()
    daemon.commit("a")
    world.until_idle()
    hold = world.stages.hold("build", 2)
    daemon.ref_tracker.enqueue(RunRequest(Trigger.SCHEDULE))
    hold.wait_until_entered()
    daemon.commit("b")
    world.until_idle()
    assert world.states() == ["succeeded", "superseded", "succeeded"]


def test_a_rollback_passes_the_runs_behind_an_approval(world: World) -> None:
    """A run that waits for approval holds up the queued ones, but not a rollback that comes after them."""
    world.configure("queued", "1h")
    daemon = world.serve()
    for number, sha in enumerate("ab", 1):
        daemon.commit(sha)
        world.until_waiting(number, "approval")
        daemon.control.decide(NAME, number, granted=True, by="ann", comment="")
        world.until_idle()
    daemon.commit("c")
    world.until_waiting(3, "approval")
    daemon.commit("d")
    world.queue(daemon, RunRequest(Trigger.COMMAND, kind=RunKind.ROLLBACK))
    world.until_state(5, RunState.SUCCEEDED)
    assert world.states()[2:4] == ["running", "queued"]

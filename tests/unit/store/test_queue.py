"""The queue: the order in which runs start and deploy, and the runs that newer ones replace."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.store.queue import MAX_PARALLEL_RUNS, STAGES, Mode, RunRequest
from pipeline.store.records import ApprovalDecision, Run, RunKind, RunState, Trigger
from pipeline.store.store import Store

PIPELINE = "shop"


def commit(sha: str = "a") -> RunRequest:
    return RunRequest(Trigger.WATCH, sha=sha * 40, ref="main")


def put(store: Store, *requests: RunRequest, mode: Mode = "superseded") -> list[int]:
    return [run.number for run in store.queue.put(PIPELINE, requests or (commit(),), mode=mode)]


def states(store: Store) -> list[str]:
    return [run.state for run in reversed(store.runs.latest(PIPELINE))]


def test_a_commit_supersedes_the_queued_one(store: Store) -> None:
    """The older run stays in the history, with the number of the newer one."""
    put(store)
    put(store, commit("b"))
    assert states(store) == ["superseded", "queued"]
    older = store.runs.get(PIPELINE, 1)
    assert older is not None
    assert (older.superseded_by, older.reason) == (2, "superseded by run 2")


def test_a_commit_supersedes_one_that_builds(store: Store) -> None:
    """The older run does not enter its next stage."""
    put(store)
    store.queue.claim(PIPELINE, "superseded")
    store.queue.enter(PIPELINE, 1, "source")
    put(store, commit("b"))
    assert states(store) == ["running", "queued"]
    assert store.queue.enter(PIPELINE, 1, "build").superseded_by == 2


def test_a_deployment_is_never_superseded(store: Store) -> None:
    """The newer commit is built meanwhile, and waits before its own Deploy."""
    put(store)
    store.queue.claim(PIPELINE, "superseded")
    assert store.queue.enter(PIPELINE, 1, "deploy").entered
    put(store, commit("b"))
    second = store.queue.claim(PIPELINE, "superseded")
    assert second is not None
    assert store.queue.enter(PIPELINE, 2, "build").entered
    assert store.queue.enter(PIPELINE, 2, "deploy").waits_for == "run 1"
    store.runs.finish(PIPELINE, 1, RunState.SUCCEEDED)
    assert store.queue.enter(PIPELINE, 2, "deploy").entered


def test_mode_queued_executes_runs_one_after_the_other(store: Store) -> None:
    """In the mode `queued` runs execute one after the other, and none is superseded."""
    put(store, commit("a"), commit("b"), mode="queued")
    first = store.queue.claim(PIPELINE, "queued")
    assert first is not None
    assert store.queue.claim(PIPELINE, "queued") is None
    store.runs.finish(PIPELINE, 1, RunState.FAILED)
    second = store.queue.claim(PIPELINE, "queued")
    assert second is not None
    assert second.number == 2


def test_mode_parallel_executes_several_runs_that_deploy_in_order(store: Store) -> None:
    """Up to MAX_PARALLEL_RUNS start, and a newer one waits for the older ones before Deploy."""
    put(store, *[commit()] * (MAX_PARALLEL_RUNS + 1), mode="parallel")
    claimed = [store.queue.claim(PIPELINE, "parallel") for _ in range(MAX_PARALLEL_RUNS + 1)]
    assert [run.number if run else None for run in claimed] == [*range(1, MAX_PARALLEL_RUNS + 1), None]
    assert store.queue.enter(PIPELINE, 2, "deploy").waits_for == "run 1"


@pytest.mark.parametrize("kind", [RunKind.ROLLBACK, RunKind.DOWN])
def test_rollback_and_down_run_alone(store: Store, kind: RunKind) -> None:
    """They wait for the running runs, and later runs wait for them."""
    put(store)
    store.queue.claim(PIPELINE, "superseded")
    put(store, RunRequest(Trigger.COMMAND, kind=kind))
    assert store.queue.claim(PIPELINE, "superseded") is None
    store.runs.finish(PIPELINE, 1, RunState.SUCCEEDED)
    assert store.queue.claim(PIPELINE, "superseded") is not None
    put(store, commit("b"))
    assert store.queue.claim(PIPELINE, "superseded") is None
    assert states(store) == ["succeeded", "running", "queued"]


def test_a_skipped_run_supersedes_nothing(store: Store) -> None:
    """A skipped run is stored with its reason and supersedes nothing."""
    put(store)
    put(store, RunRequest(Trigger.WATCH, sha="b" * 40, skip_reason="its message says [skip ci]"))
    assert states(store) == ["queued", "skipped"]
    skip_reason = store.runs.get(PIPELINE, 2)
    assert skip_reason is not None
    assert skip_reason.reason == "its message says [skip ci]"


def test_a_run_is_queued_again_after_its_worker_died(store: Store) -> None:
    """The run keeps its number and its approval, and its attempts are counted."""
    put(store)
    store.queue.claim(PIPELINE, "superseded")
    store.queue.enter(PIPELINE, 1, "source")
    store.queue.record_decision(PIPELINE, 1, ApprovalDecision(True, "ann", "", datetime.now(UTC)))
    assert store.queue.requeue(PIPELINE, 1, "superseded").state is RunState.QUEUED
    again = store.queue.claim(PIPELINE, "superseded")
    assert again is not None
    assert (again.number, again.attempts, again.approval and again.approval.granted) == (1, 2, True)
    assert store.queue.enter(PIPELINE, 1, "source").entered


def test_a_run_is_superseded_if_its_worker_died_before_a_newer_run(store: Store) -> None:
    """A run that lost its worker is superseded by a newer run, so it cannot deploy an older commit."""
    put(store)
    store.queue.claim(PIPELINE, "superseded")
    store.queue.enter(PIPELINE, 1, "deploy")
    put(store, commit("b"))
    assert store.queue.requeue(PIPELINE, 1, "superseded").state is RunState.SUPERSEDED


def test_a_killed_deployment_is_queued_again_if_the_newer_run_failed(store: Store) -> None:
    """A failed run replaces nothing."""
    put(store)
    store.queue.claim(PIPELINE, "superseded")
    store.queue.enter(PIPELINE, 1, "deploy")
    put(store, commit("b"))
    store.queue.claim(PIPELINE, "superseded")
    store.runs.finish(PIPELINE, 2, RunState.FAILED)
    assert store.queue.requeue(PIPELINE, 1, "superseded").state is RunState.QUEUED


def test_a_worker_that_stops_counts_no_attempt(store: Store) -> None:
    """Only a run whose worker died may be the reason for its death."""
    put(store)
    store.queue.claim(PIPELINE, "superseded")
    assert store.queue.requeue(PIPELINE, 1, "superseded", counted=False).attempts == 0


def test_a_rollback_passes_a_run_that_waits_at_a_gate(store: Store) -> None:
    """So it works during a freeze. The waiting run does not enter Deploy beside it."""
    store.transitions.disable(PIPELINE, "deploy", "freeze")
    put(store)
    store.queue.claim(PIPELINE, "superseded")
    store.queue.enter(PIPELINE, 1, "build")
    assert store.queue.enter(PIPELINE, 1, "deploy").waits_for
    put(store, RunRequest(Trigger.COMMAND, kind=RunKind.ROLLBACK))
    rollback = store.queue.claim(PIPELINE, "superseded")
    assert rollback is not None
    assert store.queue.enter(PIPELINE, rollback.number, "deploy").entered
    store.transitions.enable(PIPELINE, "deploy")
    assert store.queue.enter(PIPELINE, 1, "deploy").waits_for == "run 2"
    store.runs.finish(PIPELINE, 2, RunState.SUCCEEDED)
    assert store.queue.enter(PIPELINE, 1, "deploy").entered


def test_a_disabled_transition_blocks_runs_with_its_reason(store: Store) -> None:
    """A disabled transition blocks runs with its reason until it is enabled."""
    store.transitions.disable(PIPELINE, "deploy", "audit")
    put(store)
    store.queue.claim(PIPELINE, "superseded")
    assert store.queue.enter(PIPELINE, 1, "build").entered
    assert store.queue.enter(PIPELINE, 1, "deploy").waits_for == "the transition into deploy, disabled: audit"
    waiting = store.runs.get(PIPELINE, 1)
    assert waiting is not None
    assert waiting.waits_for
    assert store.transitions.enable(PIPELINE, "deploy")
    assert store.queue.enter(PIPELINE, 1, "deploy").entered


def test_the_first_decision_about_an_approval_counts(store: Store) -> None:
    """The second user gets the decision of the first."""
    put(store)
    store.queue.claim(PIPELINE, "superseded")
    assert store.queue.await_approval(PIPELINE, 1).waits_for == "approval"
    first = ApprovalDecision(False, "ann", "not on a Friday", datetime.now(UTC))
    store.queue.record_decision(PIPELINE, 1, first)
    second = ApprovalDecision(True, "bob", "", datetime.now(UTC))
    assert store.queue.record_decision(PIPELINE, 1, second).approval == first
    assert store.queue.await_approval(PIPELINE, 1).waits_for is None


def test_a_command_does_not_overtake_queued_runs(store: Store) -> None:
    """A command replaces queued runs in the mode `superseded`, and is rejected in the other modes."""
    put(store, mode="queued")
    assert store.queue.begin(PIPELINE, commit("b"), "queued") is None
    begun = store.queue.begin(PIPELINE, commit("b"), "superseded")
    assert begun is not None
    assert states(store) == ["superseded", "running"]


class QueueMachine(RuleBasedStateMachine):
    """Commits arrive, and workers execute runs, fail and die, in any order."""

    @initialize(mode=st.sampled_from(["superseded", "queued", "parallel"]))
    def begin(self, mode: Mode) -> None:
        self.mode = mode
        self.folder = tempfile.TemporaryDirectory()
        self.store = Store(Path(self.folder.name) / "db")
        self.deployed: list[int] = []
        self.put = 0

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self._drain()
            self.store.close()
            self.folder.cleanup()

    @rule(count=st.integers(1, 3))
    def commits_come(self, count: int) -> None:
        self.store.queue.put(PIPELINE, [commit()] * count, mode=self.mode)
        self.put += count

    @rule()
    def a_worker_begins(self) -> None:
        self.store.queue.claim(PIPELINE, self.mode)

    @precondition(lambda self: self._running())
    @rule(data=st.data())
    def a_worker_goes_on(self, data: st.DataObject) -> None:
        self._step(data.draw(st.sampled_from(self._running())))

    @precondition(lambda self: self._running())
    @rule(data=st.data(), state=st.sampled_from([RunState.FAILED, RunState.CANCELLED]))
    def a_run_fails(self, data: st.DataObject, state: RunState) -> None:
        self.store.runs.finish(PIPELINE, data.draw(st.sampled_from(self._running())).number, state)

    @precondition(lambda self: self._running())
    @rule()
    def everything_is_killed(self) -> None:
        for run in self._running():
            self.store.queue.requeue(PIPELINE, run.number, self.mode)

    @invariant()
    def at_most_one_deploys(self) -> None:
        if hasattr(self, "store"):
            assert sum(self._stages(run)[-1:] == ["deploy"] for run in self._running()) <= 1

    @invariant()
    def deployments_are_in_the_order_of_commits(self) -> None:
        if hasattr(self, "store"):
            assert self.deployed == sorted(set(self.deployed))

    @invariant()
    def no_commit_is_without_a_row(self) -> None:
        if hasattr(self, "store"):
            assert len(self.store.runs.latest(PIPELINE, limit=10_000)) == self.put

    def _running(self) -> list[Run]:
        return self.store.runs.running(PIPELINE) if hasattr(self, "store") else []

    def _stages(self, run: Run) -> list[str]:
        return [stage.name for stage in self.store.runs.stages(PIPELINE, run.number)]

    def _step(self, run: Run) -> None:
        done = self._stages(run)
        if len(done) == len(STAGES):
            self.store.runs.finish(PIPELINE, run.number, RunState.SUCCEEDED)
            self.deployed.append(run.number)
            return
        admission = self.store.queue.enter(PIPELINE, run.number, STAGES[len(done)])
        if admission.superseded_by:
            self.store.runs.finish(PIPELINE, run.number, RunState.SUPERSEDED)

    def _drain(self) -> None:
        """From every state, all runs end, and the last commit that did not fail is deployed."""
        for _ in range(10 * (self.put + 1)):
            while self.store.queue.claim(PIPELINE, self.mode):
                pass
            for run in self._running():
                self._step(run)
        ended = {run.number: run for run in self.store.runs.latest(PIPELINE, limit=10_000)}
        assert all(run.state.over for run in ended.values())
        if self.put and ended[self.put].state is RunState.SUCCEEDED:
            assert self.deployed[-1] == self.put
        assert self.deployed == sorted(set(self.deployed))


QueueMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestQueueMachine = QueueMachine.TestCase

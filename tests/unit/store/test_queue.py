"""The queue: the order in which runs start and deploy, and the runs that newer ones replace."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.store.order import MAX_PARALLEL_RUNS, Mode
from pipeline.store.queue import STAGES, RunRequest
from pipeline.store.records import ApprovalDecision, Run, RunKind, RunState, Trigger
from pipeline.store.store import Store
from tests.support.sample import sampled

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
    """Commits, schedules and rollbacks come, and processes execute runs, wait at gates, fail and die, in any order."""

    @initialize(mode=st.sampled_from(["superseded", "queued", "parallel"]))
    def begin(self, mode: Mode) -> None:
        self.mode = mode
        self.folder = tempfile.TemporaryDirectory()
        self.store = Store(Path(self.folder.name) / "db")
        self.deployed: list[int] = []
        self.put = 0
        self.head = "a"

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self._drain()
            self.store.close()
            self.folder.cleanup()

    @rule(shas=st.lists(st.sampled_from("abc"), min_size=1, max_size=3))
    def commits_come(self, shas: list[str]) -> None:
        self.head = shas[-1]
        self._put(*map(commit, shas))

    @rule(trigger=st.sampled_from([Trigger.SCHEDULE, Trigger.COMMAND]))
    def a_run_of_the_head_comes(self, trigger: Trigger) -> None:
        self._put(RunRequest(trigger))

    @rule(kind=st.sampled_from([RunKind.ROLLBACK, RunKind.DOWN]))
    def a_rollback_comes(self, kind: RunKind) -> None:
        self._put(RunRequest(Trigger.COMMAND, kind=kind))

    @precondition(lambda self: self._unfinished())
    @rule(data=st.data())
    def a_scan_finds_the_commit_of_a_queued_run(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(self._unfinished()))
        if run.kind is RunKind.RUN:
            self.store.queue.resolve(PIPELINE, run.number, commit(self.head).sha or "", self.mode)

    @rule(stage=st.sampled_from(STAGES))
    def a_transition_is_disabled(self, stage: str) -> None:
        self.store.transitions.disable(PIPELINE, stage, "freeze")

    @rule(stage=st.sampled_from(STAGES))
    def a_transition_is_enabled(self, stage: str) -> None:
        self.store.transitions.enable(PIPELINE, stage)

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

    @rule(kind=st.sampled_from(RunKind))
    def a_command_works_without_a_daemon(self, kind: RunKind) -> None:
        """It is done or refused at once, whatever a dead daemon has left in the queue."""
        self.everything_is_killed()
        queued = self._unfinished()
        run = self.store.queue.begin(PIPELINE, RunRequest(Trigger.COMMAND, kind=kind), self.mode)
        if run is None:
            assert kind is RunKind.RUN
            assert self.mode != "superseded" or any(other.kind is not RunKind.RUN for other in queued)
            return
        self.put += 1
        disabled = self.store.transitions.disabled(PIPELINE) if kind is RunKind.RUN else {}
        for stage in self._stages_of(run):
            admission = self.store.queue.enter(PIPELINE, run.number, stage)
            assert admission.entered or stage in disabled, admission.waits_for
            if stage == "source" and admission.entered:
                self._set_commit(run)
        self.store.runs.finish(PIPELINE, run.number, RunState.SUCCEEDED)

    @invariant()
    def at_most_one_deploys(self) -> None:
        assert sum(self._stages(run)[-1:] == ["deploy"] for run in self._running()) <= 1

    @invariant()
    def deployments_are_in_the_order_of_commits(self) -> None:
        if hasattr(self, "store"):
            assert self.deployed == sorted(set(self.deployed))

    @invariant()
    def no_commit_is_without_a_row(self) -> None:
        if hasattr(self, "store"):
            assert len(self._all()) == self.put

    @invariant()
    def no_run_is_superseded_by_one_of_its_commit(self) -> None:
        for run in self._all().values():
            newer = self._all()[run.superseded_by] if run.superseded_by else None
            if newer and run.kind is RunKind.RUN:
                assert None not in (run.sha, newer.sha)
                assert run.sha != newer.sha

    @invariant()
    def one_run_of_a_schedule_is_queued(self) -> None:
        queued = [run for run in self._unfinished() if run.state is RunState.QUEUED]
        fresh = [run for run in queued if run.trigger is Trigger.SCHEDULE and not run.attempts]
        assert len(fresh) <= 1

    def _put(self, *requests: RunRequest) -> None:
        self.put += len(self.store.queue.put(PIPELINE, requests, mode=self.mode))

    def _all(self) -> dict[int, Run]:
        runs = self.store.runs.latest(PIPELINE, limit=10_000) if hasattr(self, "store") else []
        return {run.number: run for run in runs}

    def _unfinished(self) -> list[Run]:
        return self.store.queue.unfinished(PIPELINE) if hasattr(self, "store") else []

    def _running(self) -> list[Run]:
        return self.store.runs.running(PIPELINE) if hasattr(self, "store") else []

    def _stages(self, run: Run) -> list[str]:
        return [stage.name for stage in self.store.runs.stages(PIPELINE, run.number)]

    def _stages_of(self, run: Run) -> tuple[str, ...]:
        return STAGES if run.kind is RunKind.RUN else ("deploy",)

    def _set_commit(self, run: Run) -> None:
        if run.kind is RunKind.RUN:
            sha = run.sha or commit(self.head).sha or ""
            self.store.queue.set_commit(
                PIPELINE, run.number, sha=sha, ref="main", author="", subject="", mode=self.mode
            )

    def _step(self, run: Run) -> None:
        done = self._stages(run)
        if len(done) == len(self._stages_of(run)):
            self.store.runs.finish(PIPELINE, run.number, RunState.SUCCEEDED)
            if run.kind is RunKind.RUN:
                self.deployed.append(run.number)
            return
        admission = self.store.queue.enter(PIPELINE, run.number, self._stages_of(run)[len(done)])
        if admission.superseded_by:
            self.store.runs.finish(PIPELINE, run.number, RunState.SUPERSEDED)
        elif admission.entered and not done:
            self._set_commit(run)

    def _drain(self) -> None:
        """From every state, all runs end, and the last commit that did not fail is deployed."""
        for stage in STAGES:
            self.store.transitions.enable(PIPELINE, stage)
        for _ in range(10 * (self.put + 1)):
            while self.store.queue.claim(PIPELINE, self.mode):
                pass
            for run in self._running():
                self._step(run)
        ended = self._all()
        assert all(run.state.over for run in ended.values())
        commits = [run for run in ended.values() if run.kind is RunKind.RUN and run.queued_at]
        if commits and commits[0].state is RunState.SUCCEEDED:
            assert self.deployed[-1] == commits[0].number
        self.deployments_are_in_the_order_of_commits()


QueueMachine.TestCase.settings = settings(max_examples=sampled(100), stateful_step_count=30, deadline=None)
TestQueueMachine = QueueMachine.TestCase

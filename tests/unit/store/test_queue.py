"""The queue: what may begin, what may go on, and what takes whose place."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.store.queue import AT_ONCE, STAGES, Mode, Request
from pipeline.store.records import Approval, Run, RunKind, RunState, Trigger
from pipeline.store.store import Store

PIPELINE = "shop"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "penstock.db") as store:
        yield store


def commit(sha: str = "a") -> Request:
    return Request(Trigger.WATCH, sha=sha * 40, ref="main")


def put(store: Store, *requests: Request, mode: Mode = "superseded") -> list[int]:
    return [run.number for run in store.queue.put(PIPELINE, requests or (commit(),), mode=mode)]


def states(store: Store) -> list[str]:
    return [run.state for run in reversed(store.runs(PIPELINE))]


def test_a_commit_takes_the_place_of_the_one_that_waits(store: Store) -> None:
    """Which stays in the history, with the run that it made room for."""
    put(store)
    put(store, commit("b"))
    assert states(store) == ["superseded", "queued"]
    older = store.run(PIPELINE, 1)
    assert older is not None
    assert (older.superseded_by, older.reason) == (2, "superseded by run 2")


def test_a_commit_takes_the_place_of_one_that_builds(store: Store) -> None:
    """Its worker is told at the next stage, which it does not enter."""
    put(store)
    store.queue.claim(PIPELINE, "superseded")
    store.queue.enter(PIPELINE, 1, "source")
    put(store, commit("b"))
    assert states(store) == ["running", "queued"]
    assert store.queue.enter(PIPELINE, 1, "build").superseded_by == 2


def test_a_deployment_is_never_superseded(store: Store) -> None:
    """The newer commit is built meanwhile, and waits for it before its own Deploy."""
    put(store)
    store.queue.claim(PIPELINE, "superseded")
    assert store.queue.enter(PIPELINE, 1, "deploy").entered
    put(store, commit("b"))
    second = store.queue.claim(PIPELINE, "superseded")
    assert second is not None
    assert store.queue.enter(PIPELINE, 2, "build").entered
    assert store.queue.enter(PIPELINE, 2, "deploy").waits_for == "run 1"
    store.finish_run(PIPELINE, 1, RunState.SUCCEEDED)
    assert store.queue.enter(PIPELINE, 2, "deploy").entered


def test_in_the_mode_queued_all_run_one_after_the_other(store: Store) -> None:
    """And none takes another's place."""
    put(store, commit("a"), commit("b"), mode="queued")
    first = store.queue.claim(PIPELINE, "queued")
    assert first is not None
    assert store.queue.claim(PIPELINE, "queued") is None
    store.finish_run(PIPELINE, 1, RunState.FAILED)
    second = store.queue.claim(PIPELINE, "queued")
    assert second is not None
    assert second.number == 2


def test_in_the_mode_parallel_several_run_and_deploy_in_order(store: Store) -> None:
    """Up to a number, and the younger one waits for the older before Deploy."""
    put(store, *[commit()] * (AT_ONCE + 1), mode="parallel")
    claimed = [store.queue.claim(PIPELINE, "parallel") for _ in range(AT_ONCE + 1)]
    assert [run.number if run else None for run in claimed] == [*range(1, AT_ONCE + 1), None]
    assert store.queue.enter(PIPELINE, 2, "deploy").waits_for == "run 1"


@pytest.mark.parametrize("kind", [RunKind.ROLLBACK, RunKind.DOWN])
def test_what_changes_the_service_otherwise_meets_no_run(store: Store, kind: RunKind) -> None:
    """It waits for those that are going on, and those that come wait for it."""
    put(store)
    store.queue.claim(PIPELINE, "superseded")
    put(store, Request(Trigger.COMMAND, kind=kind))
    assert store.queue.claim(PIPELINE, "superseded") is None
    store.finish_run(PIPELINE, 1, RunState.SUCCEEDED)
    assert store.queue.claim(PIPELINE, "superseded") is not None
    put(store, commit("b"))
    assert store.queue.claim(PIPELINE, "superseded") is None
    assert states(store) == ["succeeded", "running", "queued"]


def test_a_move_of_a_ref_is_seen_once(store: Store) -> None:
    """Of two that look at the same time, one finds the runs made and makes none."""
    moved = {"refs/heads/main": (None, "a" * 40)}
    assert len(store.queue.put(PIPELINE, [commit()], heads=moved)) == 1
    assert store.queue.put(PIPELINE, [commit()], heads=moved) == []
    assert store.queue.heads(PIPELINE) == {"refs/heads/main": "a" * 40}


def test_what_is_skipped_is_written_down_and_takes_nobodys_place(store: Store) -> None:
    """With its reason."""
    put(store)
    put(store, Request(Trigger.WATCH, sha="b" * 40, skipped="its message says [skip ci]"))
    assert states(store) == ["queued", "skipped"]
    skipped = store.run(PIPELINE, 2)
    assert skipped is not None
    assert skipped.reason == "its message says [skip ci]"


def test_a_run_whose_worker_died_is_queued_again(store: Store) -> None:
    """As the same run, begun a second time; what it was told of an approval still holds."""
    put(store)
    store.queue.claim(PIPELINE, "superseded")
    store.queue.enter(PIPELINE, 1, "source")
    store.queue.decide(PIPELINE, 1, Approval(True, "ann", "", datetime.now(UTC)))
    assert store.queue.requeue(PIPELINE, 1, "superseded").state is RunState.QUEUED
    again = store.queue.claim(PIPELINE, "superseded")
    assert again is not None
    assert (again.number, again.attempts, again.approval and again.approval.granted) == (1, 2, True)
    assert store.queue.enter(PIPELINE, 1, "source").entered


def test_a_run_whose_worker_died_does_not_come_back_after_a_newer_one(store: Store) -> None:
    """It would put an older commit into service."""
    put(store)
    store.queue.claim(PIPELINE, "superseded")
    store.queue.enter(PIPELINE, 1, "deploy")
    put(store, commit("b"))
    assert store.queue.requeue(PIPELINE, 1, "superseded").state is RunState.SUPERSEDED


def test_a_deployment_that_was_killed_comes_back_when_what_is_newer_has_failed(store: Store) -> None:
    """Nothing has taken its place."""
    put(store)
    store.queue.claim(PIPELINE, "superseded")
    store.queue.enter(PIPELINE, 1, "deploy")
    put(store, commit("b"))
    store.queue.claim(PIPELINE, "superseded")
    store.finish_run(PIPELINE, 2, RunState.FAILED)
    assert store.queue.requeue(PIPELINE, 1, "superseded").state is RunState.QUEUED


def test_an_end_in_order_is_no_attempt(store: Store) -> None:
    """Only what dies with its worker is suspected to be the reason."""
    put(store)
    store.queue.claim(PIPELINE, "superseded")
    assert store.queue.requeue(PIPELINE, 1, "superseded", counted=False).attempts == 0


def test_going_back_passes_by_what_waits_for_somebody(store: Store) -> None:
    """In a freeze above all; and what waits does not begin its Deploy beside it."""
    store.transitions.close(PIPELINE, "deploy", "freeze")
    put(store)
    store.queue.claim(PIPELINE, "superseded")
    store.queue.enter(PIPELINE, 1, "build")
    assert store.queue.enter(PIPELINE, 1, "deploy").waits_for
    put(store, Request(Trigger.COMMAND, kind=RunKind.ROLLBACK))
    rollback = store.queue.claim(PIPELINE, "superseded")
    assert rollback is not None
    assert store.queue.enter(PIPELINE, rollback.number, "deploy").entered
    store.transitions.open(PIPELINE, "deploy")
    assert store.queue.enter(PIPELINE, 1, "deploy").waits_for == "run 2"
    store.finish_run(PIPELINE, 2, RunState.SUCCEEDED)
    assert store.queue.enter(PIPELINE, 1, "deploy").entered


def test_a_closed_transition_lets_nobody_in_and_says_why(store: Store) -> None:
    """Until it is opened; a rollback goes past it."""
    store.transitions.close(PIPELINE, "deploy", "audit")
    put(store)
    store.queue.claim(PIPELINE, "superseded")
    assert store.queue.enter(PIPELINE, 1, "build").entered
    assert store.queue.enter(PIPELINE, 1, "deploy").waits_for == "the transition into deploy, closed: audit"
    waiting = store.run(PIPELINE, 1)
    assert waiting is not None
    assert waiting.waits_for
    assert store.transitions.open(PIPELINE, "deploy")
    assert store.queue.enter(PIPELINE, 1, "deploy").entered


def test_the_first_answer_to_an_approval_counts(store: Store) -> None:
    """Whoever comes second learns who was first."""
    put(store)
    store.queue.claim(PIPELINE, "superseded")
    assert store.queue.await_approval(PIPELINE, 1).waits_for == "approval"
    first = Approval(False, "ann", "not on a Friday", datetime.now(UTC))
    store.queue.decide(PIPELINE, 1, first)
    second = Approval(True, "bob", "", datetime.now(UTC))
    assert store.queue.decide(PIPELINE, 1, second).approval == first
    assert store.queue.await_approval(PIPELINE, 1).waits_for is None


def test_a_command_does_not_overtake_what_is_queued(store: Store) -> None:
    """In the mode `superseded` it takes its place; in the others it is refused."""
    put(store, mode="queued")
    assert store.queue.begin(PIPELINE, commit("b"), "queued") is None
    begun = store.queue.begin(PIPELINE, commit("b"), "superseded")
    assert begun is not None
    assert states(store) == ["superseded", "running"]


def test_a_webhook_is_taken_once(store: Store) -> None:
    """And again only when it could not be used."""
    assert store.deliveries.take(PIPELINE, "d1")
    assert not store.deliveries.take(PIPELINE, "d1")
    store.deliveries.forget(PIPELINE, "d1")
    assert store.deliveries.take(PIPELINE, "d1")


class QueueMachine(RuleBasedStateMachine):
    """Commits come, workers work, fail and die, in any order."""

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
        self.store.finish_run(PIPELINE, data.draw(st.sampled_from(self._running())).number, state)

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
            assert len(self.store.runs(PIPELINE, limit=10_000)) == self.put

    def _running(self) -> list[Run]:
        return self.store.unfinished_runs(PIPELINE) if hasattr(self, "store") else []

    def _stages(self, run: Run) -> list[str]:
        return [stage.name for stage in self.store.stages(PIPELINE, run.number)]

    def _step(self, run: Run) -> None:
        done = self._stages(run)
        if len(done) == len(STAGES):
            self.store.finish_run(PIPELINE, run.number, RunState.SUCCEEDED)
            self.deployed.append(run.number)
            return
        passage = self.store.queue.enter(PIPELINE, run.number, STAGES[len(done)])
        if passage.superseded_by:
            self.store.finish_run(PIPELINE, run.number, RunState.SUPERSEDED)

    def _drain(self) -> None:
        """However it stands: going on, every run comes to an end, and the last commit that did not fail is deployed."""
        for _ in range(10 * (self.put + 1)):
            while self.store.queue.claim(PIPELINE, self.mode):
                pass
            for run in self._running():
                self._step(run)
        ended = {run.number: run for run in self.store.runs(PIPELINE, limit=10_000)}
        assert all(run.state.over for run in ended.values())
        if self.put and ended[self.put].state is RunState.SUCCEEDED:
            assert self.deployed[-1] == self.put
        assert self.deployed == sorted(set(self.deployed))


QueueMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestQueueMachine = QueueMachine.TestCase

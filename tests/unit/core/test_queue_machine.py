"""A machine that tries every order of commits, cancellations, stage ends, shutdowns and deaths."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.base.errors import ConfigError
from pipeline.store.queue import Mode, RunRequest
from pipeline.store.records import RunKind, RunState, Trigger
from tests.unit.core.world import NAME, Daemon, World

# Times in a row that nothing changes before all threads are taken to wait.
_QUIET = 4
# The stage and the run under which a recovery is held.
_RECOVERY = ("recover", 0)
_CHOICE = st.integers(0, 100)


class QueueMachine(RuleBasedStateMachine):
    """One pipeline whose stages all wait for the machine, and at most one daemon."""

    def __init__(self) -> None:
        super().__init__()
        self._patch = pytest.MonkeyPatch()
        self._folder = Path(tempfile.mkdtemp())
        self.world = World(self._folder, self._patch)
        self.world.stages.holds_all = True
        self.daemon: Daemon | None = None
        self.over: dict[int, RunState] = {}
        self.commits = 0

    @initialize(mode=st.sampled_from(["superseded", "queued", "parallel"]))
    def begin(self, mode: Mode) -> None:
        self.world.configure(mode)
        self.mode = mode
        self.serve()

    @precondition(lambda self: self.daemon is None)
    @rule()
    def serve(self) -> None:
        self.daemon = self.world.daemon()
        self.daemon.begin()
        self._settle()

    @precondition(lambda self: self.daemon is not None)
    @rule(kind=st.sampled_from([RunKind.RUN, RunKind.RUN, RunKind.RUN, RunKind.ROLLBACK]))
    def commit(self, kind: RunKind) -> None:
        assert self.daemon is not None
        self.commits += 1
        sha = f"{self.commits}" if kind is RunKind.RUN else None
        self.world.queue(self.daemon, RunRequest(Trigger.WEBHOOK, sha=sha, kind=kind))
        self._settle()

    @precondition(lambda self: self.daemon is not None)
    @rule(choice=_CHOICE)
    def let_a_stage_end(self, choice: int) -> None:
        if held := self.world.stages.held():
            self.world.stages.release(held[choice % len(held)])
            self._settle()

    @precondition(lambda self: self.daemon is not None)
    @rule(choice=_CHOICE)
    def cancel(self, choice: int) -> None:
        assert self.daemon is not None
        if unfinished := self.world.store.queue.unfinished(NAME):
            # A run that ends at the same moment cannot be cancelled any more.
            with suppress(ConfigError):
                self.daemon.control.cancel(NAME, unfinished[choice % len(unfinished)].number)
            self._settle()

    @precondition(lambda self: self.daemon is not None)
    @rule()
    def kill(self) -> None:
        assert self.daemon is not None
        self.daemon.kill()
        self.daemon = None
        self.world.until(lambda: not self.world.stages.held(), "the stages of the dead process end")

    @precondition(lambda self: self.daemon is not None)
    @rule()
    def stop(self) -> None:
        assert self.daemon is not None
        if self._deploys() or _RECOVERY in self.world.stages.held():
            # It would wait for what waits for the machine.
            return
        self.daemon.stop()
        self.daemon = None
        assert self.world.store.runs.running(NAME) == []

    @invariant()
    def nothing_overlaps(self) -> None:
        assert self.world.stages.overlaps == []

    @invariant()
    def commits_are_deployed_in_order(self) -> None:
        assert self.world.stages.deployed == sorted(set(self.world.stages.deployed))

    @invariant()
    def an_outcome_never_changes(self) -> None:
        for run in self.world.store.runs.latest(NAME, 100):
            assert self.over.get(run.number, run.state) is run.state
            if run.state.over:
                self.over[run.number] = run.state

    @invariant()
    def no_deployment_is_superseded(self) -> None:
        for number, state in self.over.items():
            if state is RunState.SUPERSEDED:
                assert "deploy" not in [stage.name for stage in self.world.store.runs.stages(NAME, number)]
                assert self.mode == "superseded"

    def teardown(self) -> None:
        try:
            if self.daemon is None:
                self.serve()
            self.world.stages.holds_all = False
            self.world.stages.release(*self.world.stages.held())
            self.world.until_idle()
            self.world.assert_consistent()
            self.an_outcome_never_changes()
        finally:
            self.world.close()
            self._patch.undo()
            shutil.rmtree(self._folder)

    def _deploys(self) -> bool:
        runs = self.world.store.runs
        return any("deploy" in [s.name for s in runs.stages(NAME, run.number)] for run in runs.running(NAME))

    def _settle(self) -> None:
        """Let time pass until every run is held in a stage, waits at a gate or in the queue, or is over."""
        quiet: list[object] = []

        def is_quiet() -> bool:
            running = self.world.store.runs.running(NAME)
            held = {run for _, run in self.world.stages.held()}
            seen = ([(run.number, run.state, run.waits_for) for run in self.world.store.runs.latest(NAME)], held)
            moving = [run for run in running if run.number not in held and not run.waits_for]
            if (moving and _RECOVERY not in self.world.stages.held()) or quiet[-1:] != [seen]:
                quiet.clear()
            quiet.append(seen)
            return len(quiet) > _QUIET

        self.world.until(is_quiet, "all threads wait")


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)

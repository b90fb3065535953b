"""The gates before a stage, and how long a run waits at them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.api import StageContext
from pipeline.base.clock import Stamp, SystemClock
from pipeline.base.errors import Cancelled, StageFailed, Superseded
from pipeline.base.home import Home
from pipeline.config.load import load
from pipeline.events import Event
from pipeline.runner.context import PipelineContext
from pipeline.runner.gates import disable_transition, enable_transition, pass_gates
from pipeline.runner.submission import submit
from pipeline.store.queue import RunRequest
from pipeline.store.records import ApprovalDecision, Run, RunKind, Trigger
from pipeline.store.store import Store
from pipeline.testing.fakes.clock import FakeClock

PIPELINE = """\
name: shop
deploy: {target_group: web, approval: {timeout: 6m}}
balancer:
  target_groups: {web: {port: 8080}}
  load_balancers: {edge: {listeners: [{port: 8000, default_action: {forward: web}}]}}
"""
MINUTE = timedelta(minutes=1)


@dataclass
class Gates:
    """A pipeline whose deployments need approval, on a clock that waiting moves."""

    pipeline_context: PipelineContext
    clock: FakeClock
    heard: list[Event] = field(default_factory=list)

    def queue_run(self) -> Run:
        """Queue a run, and begin to work on it."""
        self.pipeline_context.store.queue.put("shop", [RunRequest(Trigger.WATCH, sha="a")], mode="superseded")
        run = self.pipeline_context.store.queue.claim("shop", "superseded")
        assert run is not None
        return run

    def context(self, run: Run) -> StageContext:
        """Return what a stage of the run works with."""
        events = self.pipeline_context.events(run.number)
        events.subscribe(self.heard.append)
        return self.pipeline_context.stage_context(events, run.number)

    def approve(self, run: Run, *, granted: bool = True) -> None:
        """Answer the run."""
        answer = ApprovalDecision(granted, "ann", "", self.clock.now().wall)
        self.pipeline_context.store.queue.record_decision("shop", run.number, answer)

    @property
    def messages(self) -> list[str]:
        return [event.message for event in self.heard]


@pytest.fixture
def gates(tmp_path: Path) -> Iterator[Gates]:
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    file = tmp_path / "pipeline.yaml"
    file.write_text(PIPELINE)
    # The store writes down the time of the machine.
    clock = FakeClock(datetime.now(UTC), auto_advance=True)
    with Store(home.database) as store:
        yield Gates(PipelineContext(home, load(file), store, clock=clock), clock)


class _SetClock(SystemClock):
    """The machine's clock with another wall time. It ends a wait after one look."""

    def __init__(self, shift: timedelta) -> None:
        self._shift = shift

    def now(self) -> Stamp:
        found = super().now()
        return replace(found, wall=found.wall + self._shift)

    def wait(self, event: threading.Event, timeout: timedelta) -> bool:
        event.set()
        return True


@pytest.mark.parametrize("hours", [2, -2])
def test_the_time_for_approval_does_not_depend_on_the_wall_clock(gates: Gates, hours: int) -> None:
    """A run that was queued just now still waits, after the clock was set by more than its time for approval."""
    run = gates.queue_run()
    context = replace(gates.context(run), clock=_SetClock(timedelta(hours=hours)))
    with pytest.raises(Cancelled):
        pass_gates(context, run, "deploy")


def test_a_stage_that_nothing_keeps_out_begins_at_once(gates: Gates) -> None:
    """Without a wait, and without a word."""
    run = gates.queue_run()
    pass_gates(gates.context(run), run, "source")
    assert gates.clock.waits == []
    assert gates.heard == []
    assert [stage.name for stage in gates.pipeline_context.store.runs.stages("shop", 1)] == ["source"]


def test_an_approval_lets_it_in(gates: Gates) -> None:
    """The run waits until the answer, and says once that it does."""
    run = gates.queue_run()
    gates.clock.call_at(5 * MINUTE, lambda: gates.approve(run))
    pass_gates(gates.context(run), run, "deploy")
    assert gates.messages == ["run 1 waits up to 6m for approval: pipeline approve 1", "approved by ann"]


def test_a_rejection_fails_the_run(gates: Gates) -> None:
    """It says who rejected it."""
    run = gates.queue_run()
    gates.clock.call_at(MINUTE, lambda: gates.approve(run, granted=False))
    with pytest.raises(StageFailed, match=r"^rejected by ann$"):
        pass_gates(gates.context(run), run, "deploy")


def test_an_approval_that_does_not_come_fails_the_run(gates: Gates) -> None:
    """After the time that it may take, counted from when the run was queued."""
    run, start = gates.queue_run(), gates.clock.now()
    with pytest.raises(StageFailed, match=r"^not approved within 6m$"):
        pass_gates(gates.context(run), run, "deploy")
    assert 6 * MINUTE <= gates.clock.since(start) + MINUTE < 8 * MINUTE


def test_a_restart_does_not_extend_the_time_for_approval(gates: Gates) -> None:
    """Another process, after another boot of the machine, waits for the rest of it."""
    run = gates.queue_run()
    gates.clock.reboot("boot-2", down=4 * MINUTE)
    start = gates.clock.now()
    with pytest.raises(StageFailed, match="not approved within"):
        pass_gates(gates.context(run), run, "deploy")
    assert MINUTE < gates.clock.since(start) < 3 * MINUTE


def test_a_newer_run_ends_the_wait_for_approval(gates: Gates) -> None:
    """The older one is superseded."""
    run = gates.queue_run()
    queue = gates.pipeline_context.store.queue
    gates.clock.call_at(MINUTE, lambda: queue.put("shop", [RunRequest(Trigger.WATCH, sha="b")], mode="superseded"))
    with pytest.raises(Superseded, match="superseded by run 2"):
        pass_gates(gates.context(run), run, "deploy")


@pytest.mark.parametrize("stage", ["build", "deploy"])
def test_cancelling_ends_every_wait(gates: Gates, stage: str) -> None:
    """At a closed transition as well as for an approval."""
    run = gates.queue_run()
    context = gates.context(run)
    disable_transition(gates.pipeline_context.store, gates.pipeline_context.events(), "build", "a freeze")
    gates.clock.call_at(MINUTE, context.cancelled.set)
    with pytest.raises(Cancelled):
        pass_gates(context, run, stage)


def test_a_cancelled_run_enters_no_stage(gates: Gates) -> None:
    """Though nothing keeps it out: the stage before it has returned without a look at the cancellation."""
    run = gates.queue_run()
    gates.approve(run)
    context = gates.context(run)
    context.cancelled.set()
    with pytest.raises(Cancelled):
        pass_gates(context, run, "deploy")
    assert gates.pipeline_context.store.runs.stages("shop", 1) == []


def test_a_closed_transition_keeps_runs_out_until_it_is_opened(gates: Gates) -> None:
    """Waiting is said once, and has no end of its own."""
    run, start = gates.queue_run(), gates.clock.now()
    store, events = gates.pipeline_context.store, gates.pipeline_context.events()
    disable_transition(store, events, "build", "a freeze")
    gates.clock.call_at(5 * MINUTE, lambda: enable_transition(store, events, "build"))
    pass_gates(gates.context(run), run, "build")
    assert gates.clock.since(start) >= 5 * MINUTE
    assert len(gates.heard) == 1
    assert "a freeze" in gates.messages[0]


def test_a_run_that_waits_for_a_deployment_says_how_to_end_it(gates: Gates) -> None:
    """Also once the deployment bakes, which may take hours."""
    store = gates.pipeline_context.store
    first = gates.queue_run()
    assert store.queue.enter("shop", first.number, "deploy").entered
    row = store.deployments.begin("shop", first.number, None, 1)
    second = gates.queue_run()
    gates.approve(second)
    context = gates.context(second)

    def go_on(_: Event) -> None:
        if " promote" not in gates.messages[-1]:
            return
        if not store.deployment_answers.waiting("shop"):
            store.deployment_answers.begin(row.id, "web", "bake", "the bake time of 10m", gates.clock.now())
        else:
            context.cancelled.set()

    context.events.subscribe(go_on)
    with pytest.raises(Cancelled):
        pass_gates(context, second, "deploy")
    assert gates.messages[-2:] == [
        "run 2 waits for run 1; `pipeline promote` ends a pause or a bake time of the deployment of release 1, "
        "`pipeline abort` rolls it back",
        "run 2 waits for run 1; the deployment of release 1 waits (web: the bake time of 10m): `pipeline promote` "
        "continues it, `pipeline abort` rolls it back",
    ]


@pytest.mark.parametrize("kind", [RunKind.ROLLBACK, RunKind.SCALE, RunKind.RESTART, RunKind.DOWN])
def test_a_queued_command_says_how_to_end_the_deployment_that_it_waits_for(gates: Gates, kind: RunKind) -> None:
    """Another run just waits: it is built meanwhile."""
    pipeline_context = gates.pipeline_context
    pipeline_context.store.deployments.begin("shop", 1, None, 1)
    submit(pipeline_context, [RunRequest(Trigger.COMMAND, "web=2", kind), RunRequest(Trigger.WATCH, sha="b")])
    waiting = [e.message for e in pipeline_context.store.events.latest("shop", limit=9) if e.kind == "run.waiting"]
    assert waiting == [
        f"{kind} 1 waits for the deployment in progress; `pipeline promote` ends a pause or a bake time of the "
        "deployment of release 1, `pipeline abort` rolls it back"
    ]

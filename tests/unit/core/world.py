"""One pipeline with its home, and the processes that serve it, in one process and without Docker."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.base.home import Home
from pipeline.base.lock import is_held
from pipeline.config.load import load
from pipeline.daemon.control import Control
from pipeline.daemon.scheduler import Scheduler
from pipeline.daemon.served_file import ServedFile
from pipeline.daemon.supervisor import PipelineSupervisor
from pipeline.engine import hosts
from pipeline.events import Event
from pipeline.runner.context import PipelineContext
from pipeline.runner.local import Runner
from pipeline.runner.ref_tracker import RefTracker
from pipeline.runner.submission import submit
from pipeline.store import queue
from pipeline.store.order import Mode
from pipeline.store.queue import RunRequest
from pipeline.store.records import Run, RunState, Trigger
from pipeline.store.store import Store
from pipeline.testing.fakes.clock import FakeClock
from pipeline.testing.fakes.engine import FakeEngine
from tests.support.fake_stages import FakeStages, Hold
from tests.support.mortal_process import MortalStores, ProcessDied
from tests.support.waiting import until

NAME = "shop"
PIPELINE = """\
name: shop
execution_mode: {mode}
deploy: {{target_group: web{approval}}}
balancer:
  target_groups: {{web: {{port: 8080}}}}
  load_balancers: {{edge: {{listeners: [{{port: 8000, default_action: {{forward: web}}}}]}}}}
"""
_TICK = timedelta(seconds=0.25)
_THREADS = ("run-", "process ")


class Daemon:
    """A process that serves the pipeline. `heard` are the events that it emitted."""

    def __init__(self, world: World, file: Path) -> None:
        self._world = world
        self.store, self.power = world.stores.open(world.home.database)
        self.heard: list[Event] = []
        self.begun = False
        self.dies_at: Callable[[Event], bool] = lambda _: False
        self.served_file = ServedFile(file, world.home, self.store, (self._on_event,), clock=world.clock)
        self.scheduler = Scheduler(world.clock, f"process {id(self)}")
        self.supervisor = PipelineSupervisor(self.served_file, world.clock, self.scheduler)
        self.control = Control({NAME: self.supervisor}, self.store)
        self.ref_tracker = RefTracker(
            lambda: self.served_file.pipeline_context, lambda: self.supervisor.queue_worker.wake()
        )

    def begin(self) -> None:
        """Begin to serve, as soon as the lock is free and what a crash left is recovered."""
        self.begun = True
        self.scheduler.start()
        self.supervisor.start()

    def start(self) -> Daemon:
        """Serve, and return once it does."""
        self.begin()
        self._world.until(self.supervisor.ready.is_set, "the pipeline is served")
        return self

    def commit(self, *shas: str) -> list[Run]:
        """Add commits to the branch, and scan it."""
        self._world.stages.commits += shas
        return self.ref_tracker.scan(Trigger.HOOK)

    def stop(self, patience: float = 5.0) -> None:
        """End in order."""
        self.supervisor.stop(patience)

    def kill(self) -> None:
        """Die at once. The lock of the pipeline is free afterwards."""
        self.power.dead = True
        self.bury()

    def bury(self) -> None:
        """Let the threads of a dead process end, which the kernel would have ended."""
        with suppress(ProcessDied):
            self.supervisor.stop(5.0)
        until(lambda: not is_held(self._world.home.lock(NAME)), "the lock is free")

    def _on_event(self, event: Event) -> None:
        self.power.check()
        self.heard.append(event)
        if self.dies_at(event):
            self.power.dead = True
            raise ProcessDied


class World:
    """The home, the clock and the stages that all processes of a test share."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.home = Home.locate({"PENSTOCK_HOME": str(root / "home")})
        self.clock = FakeClock()
        self.stores = MortalStores(monkeypatch)
        self.stages = FakeStages(self.stores.check_alive)
        self.stages.install(monkeypatch)
        self.engine = FakeEngine()
        monkeypatch.setattr(hosts, "local_engine", lambda _: self.engine)
        monkeypatch.setattr(queue, "now", lambda: self.clock.now().wall.isoformat())
        self.file = root / "pipeline.yaml"
        self.configure()
        self.store, _ = self.stores.open(self.home.database)
        self._daemons: list[Daemon] = []

    def configure(self, mode: Mode = "superseded", approval: str = "") -> None:
        """Write the pipeline.yaml."""
        self.file.write_text(
            PIPELINE.format(mode=mode, approval=f", approval: {{timeout: {approval}}}" * bool(approval))
        )

    def daemon(self) -> Daemon:
        """Return a process that does not serve yet."""
        daemon = Daemon(self, self.file)
        self._daemons.append(daemon)
        return daemon

    def serve(self) -> Daemon:
        """Return a process that serves."""
        return self.daemon().start()

    def hold_first_run(self, stage: str, *, deaf: bool = False) -> tuple[Daemon, Hold]:
        """Serve, and return when the run of the first commit is held in a stage. The commit is `a`."""
        daemon, hold = self.serve(), self.stages.hold(stage, 1, deaf=deaf)
        daemon.commit("a")
        hold.wait_until_entered()
        return daemon, hold

    def runner(
        self, cancelled: threading.Event | None = None, store: Store | None = None, by: str | None = None
    ) -> Runner:
        """Return what a command uses, in a process with its own store."""
        store = store or self.stores.open(self.home.database)[0]
        return Runner(self.home, load(self.file), store, cancelled=cancelled, clock=self.clock, by=by)

    def queue(self, daemon: Daemon, *requests: RunRequest) -> list[int]:
        """Queue runs from another process, as a command does, and wake the one that serves."""
        context = PipelineContext(self.home, daemon.served_file.pipeline_context.configuration, self.store)
        runs = submit(context, requests or [RunRequest(Trigger.WEBHOOK, sha="a")])
        daemon.supervisor.queue_worker.wake()
        return [run.number for run in runs]

    def run(self, number: int) -> Run:
        """Return a run as another process sees it."""
        run = self.store.runs.get(NAME, number)
        assert run is not None
        return run

    def states(self) -> list[str]:
        """Return the state of each run, oldest first."""
        return [str(run.state) for run in reversed(self.store.runs.latest(NAME, 1000))]

    def kinds(self, number: int) -> list[str]:
        """Return the kinds of the events of a run."""
        return [str(event.kind) for event in self.store.events.latest(NAME, number)]

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Let time pass until `condition` is true."""

        def passed() -> object:
            if result := condition():
                return result
            self.clock.advance(_TICK)
            return None

        until(passed, what)

    def until_state(self, number: int, *states: RunState) -> Run:
        """Let time pass until a run has one of these states."""
        self.until(lambda: self.run(number).state in states, f"run {number} is {' or '.join(states)}")
        return self.run(number)

    def until_waiting(self, number: int, text: str) -> None:
        """Let time pass until a run waits for something."""
        self.until(lambda: text in (self.run(number).waits_for or ""), f"run {number} waits for {text}")

    def until_idle(self) -> None:
        """Let time pass until no run is queued or running."""
        self.until(lambda: not self.store.queue.unfinished(NAME), "no run is left")

    def assert_consistent(self) -> None:
        """Assert what holds whenever no run is left, whatever happened."""
        assert self.stages.overlaps == []
        assert self.store.deployments.open(NAME) is None
        for run in self.store.runs.latest(NAME, 1000):
            assert run.state.over, run
            assert run.waits_for is None, run
            assert run.attempts <= 5, run
            assert all(stage.finished_at for stage in self.store.runs.stages(NAME, run.number)), run

    def close(self) -> None:
        """End every process, and close their stores."""
        for daemon in (daemon for daemon in self._daemons if daemon.begun):
            with suppress(ProcessDied):
                daemon.stop(1.0)
            daemon.scheduler.close()
        until(lambda: not any(t.name.startswith(_THREADS) for t in threading.enumerate()), "all threads end")
        self.stores.close()

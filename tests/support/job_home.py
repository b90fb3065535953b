"""A home whose active release has a scheduled job, without Docker, and the processes that run the job."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.api import StageContext
from pipeline.base.home import Home
from pipeline.config.load import load
from pipeline.config.release import ReleaseSpec
from pipeline.daemon.job_loop import JobLoop
from pipeline.engine import hosts
from pipeline.engine.container import ContainerSpec
from pipeline.engine.labels import ROLE_JOB
from pipeline.jobs.execution import JobExecution
from pipeline.jobs.job import Job, jobs_of
from pipeline.runner.context import PipelineContext
from pipeline.store import deployments
from pipeline.store.job_run import JobRun
from pipeline.store.records import DeploymentState
from pipeline.store.store import Store
from pipeline.testing.fakes.clock import FakeClock
from pipeline.testing.fakes.engine import FakeEngine
from pipeline.testing.fakes.program import Program
from tests.support.waiting import until

NAME = "shop"
IMAGE = "shop:built"
JOB = '{command: [clean], schedule: "0 3 * * *", timezone: UTC, timeout: 1h, environment: {KEY: "${secret:KEY}"}}'
SECRET = "seven-secret-words"
START = datetime(2030, 1, 1, 2, 30, tzinfo=UTC)


class JobHome:
    """The home, the clock and the engine that all processes of a test share. The program of the job runs until told."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.home = Home.locate({"PENSTOCK_HOME": str(root / "home")})
        self.store = Store(self.home.database)
        self.clock = FakeClock(START)
        self.program = Program(on_sigterm=143)
        self.started: list[str] = []
        """The names of the containers that were started."""
        self.engine = FakeEngine(program=self._program_of, now=lambda: self.clock.now().wall)
        self.image = self.engine.images.add(IMAGE)
        self._loops: list[JobLoop] = []
        self._runs: list[tuple[JobExecution, threading.Thread]] = []
        monkeypatch.setenv("KEY", SECRET)
        monkeypatch.setattr(hosts, "local_engine", lambda _: self.engine)
        monkeypatch.setattr(deployments, "now", lambda: self.clock.now().wall.isoformat())

    def deploy(self, services: str = f"{{nightly: {JOB}}}", image: str = "") -> int:
        """Make a release with these services the active one, without any replica. Return its number."""
        image = image or self.image
        file = self.root / "pipeline.yaml"
        file.write_text(f"name: {NAME}\ndeploy:\n  services: {services}\n")
        configuration = load(file)
        spec = ReleaseSpec.of(configuration, image_id=image, image_tag="t", sha="a" * 40, subject="One")
        active = self.store.releases.active(NAME)
        made = self.store.releases.create(
            NAME, 1, sha=spec.sha, subject="One", image_id=image, image_tag="t", spec=spec.model_dump_json()
        )
        row = self.store.deployments.begin(NAME, 1, active.number if active else None, made.number)
        self.store.deployments.finish(row, DeploymentState.SUCCEEDED)
        return made.number

    def pipeline_context(self) -> PipelineContext:
        """Return what the daemon works with."""
        return PipelineContext(self.home, load(self.root / "pipeline.yaml"), self.store, clock=self.clock)

    def context(self, cancelled: threading.Event | None = None, by: str | None = None) -> StageContext:
        """Return what the execution of a run works with, for a user or the daemon."""
        context = self.pipeline_context()
        return context.stage_context(context.events(by=by), cancelled=cancelled)

    def job(self, name: str = "nightly") -> Job:
        """Return a job of the active release."""
        return jobs_of(self.store.releases.active(NAME))[name]

    def begin(self, cancelled: threading.Event | None = None) -> JobExecution:
        """Return a new run."""
        execution = JobExecution.begin(self.context(cancelled), self.job())
        assert execution is not None
        return execution

    def start(self, cancelled: threading.Event | None = None) -> tuple[JobExecution, threading.Thread]:
        """Execute a run in a thread, and return when its container runs."""
        execution = self.begin(cancelled)
        thread = threading.Thread(target=execution.execute, daemon=True)
        thread.start()
        self._runs.append((execution, thread))
        until(lambda: execution.run.container in self.engine.containers.running(), "the container runs")
        return execution, thread

    def loop(self) -> JobLoop:
        """Return the loop of a new daemon."""
        loop = JobLoop(self.pipeline_context, self.clock)
        self._loops.append(loop)
        return loop

    def run(self, number: int = 1) -> JobRun:
        """Return a run."""
        found = self.store.job_runs.get(NAME, number)
        assert found is not None
        return found

    def until_over(self, number: int = 1) -> JobRun:
        """Let time pass until a run is over, and its container is removed."""
        self.pass_time(lambda: self.run(number).state.over and not self.containers(), f"run {number} is over")
        return self.run(number)

    def pass_time(self, condition: Callable[[], object], what: str) -> None:
        """Let time pass until a condition is true."""

        def passed() -> object:
            if result := condition():
                return result
            self.clock.advance(timedelta(seconds=0.25))
            return None

        until(passed, what)

    def containers(self) -> list[str]:
        """Return the names of the containers of runs, in any state."""
        return [each.name for each in self.engine.containers.for_pipeline(NAME, ROLE_JOB)]

    def log(self, run: JobRun) -> str:
        """Return the log of a run as it is on disk."""
        return self.home.job_log(NAME, run.container).read_text()

    def heard(self, prefix: str = "job.") -> list[tuple[str, str]]:
        """Return the kinds and messages of the events about jobs."""
        events = self.store.events.latest(NAME)
        return [(event.kind, event.message) for event in events if event.kind.startswith(prefix)]

    def _program_of(self, spec: ContainerSpec) -> Program:
        self.started.append(spec.name)
        return self.program

    def close(self) -> None:
        """End every loop, and every thread that follows a run."""
        for loop in self._loops:
            loop.close()
        for execution, _ in self._runs:
            execution.detach()
        self.pass_time(lambda: not any(thread.is_alive() for _, thread in self._runs), "the threads of runs end")
        self.store.close()

"""The demonstration: a temporary repository with a real pipeline, under load and with failures."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.balancer.model import TargetState
from pipeline.balancer.planes import open_balancer
from pipeline.base.errors import Cancelled, PenstockError, RolledBack, StageFailed, SystemFault
from pipeline.base.git import GitFailed, run_git
from pipeline.base.home import Home
from pipeline.config.load import load
from pipeline.engine.container import Container
from pipeline.engine.hosts import local_engine
from pipeline.engine.interfaces import Engine
from pipeline.event_kinds import EventKind
from pipeline.events import Event, Listener
from pipeline.runner.local import Runner
from pipeline.store.store import Store
from pipeline.testing.load.load import Load
from pipeline.testing.load.profile import LoadProfile
from pipeline.testing.load.report import LoadReport, PhaseReport

NAME = "demo"
REPLICAS = 3
_RATE = 100.0
_STEADY_REQUESTS = 250
_TIMEOUT = 60.0

_PIPELINE = """\
name: {name}
source:
  repository: .
build:
  args: {{{args}}}
  test: {{command: [python3, -m, unittest, -v], timeout: 1m}}
deploy:
  target_group: web
  replicas: {replicas}
  deploy_timeout: 6s
balancer:
  target_groups:
    web:
      port: 8080
      health_check: {{path: /healthz, interval: 200ms, unhealthy_threshold: 2}}
      deregistration_delay: 10s
  load_balancers:
    edge:
      scheme: internal
      listeners: [{{port: {port}, default_action: {{forward: web}}}}]
"""


@dataclass(frozen=True)
class DemoStep:
    """A step of the demonstration: its part of the load, and its duration in seconds, if measured."""

    phase: PhaseReport
    took: float | None


@dataclass(frozen=True)
class DemoReport:
    """The result of the demonstration."""

    load: LoadReport
    steps: tuple[DemoStep, ...]


class Demo:
    """A demonstration in a temporary directory, which `close` removes."""

    def __init__(self, cancelled: threading.Event) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="penstock-demo-"))
        self.repository = self.directory / "repository"
        self.home = Home.locate({"PENSTOCK_HOME": str(self.directory / "home")})
        self.port = _free_port()
        self._cancelled = cancelled
        self._load: Load | None = None
        self._took: dict[str, float] = {}
        self._listener: Listener = lambda _: None

    def figures(self) -> str:
        """Return the load so far as a line, or an empty text without load."""
        if self._load is None:
            return ""
        report = self._load.report()
        return f"{report.rate:.0f} requests/s, {report.sent} sent, {report.failed} failed"

    def play(self, listener: Listener) -> DemoReport:
        """Run all steps. Raises an error if a step has another outcome than expected."""
        self._listener = listener
        self._prepare()
        with Store(self.home.database) as store:
            configuration = load(self.repository / "pipeline.yaml")
            runner = Runner(self.home, configuration, store, [listener], self._cancelled)
            self._title(f"Version 1 is rolled out: {REPLICAS} replicas behind http://localhost:{self.port}")
            runner.run()
            with Load.start(LoadProfile(f"http://127.0.0.1:{self.port}/", _RATE, idempotent=True)) as running:
                self._load = running
                self._steady("steady")
                self._roll_out(runner)
                self._steady("steady again")
                self._kill_a_target()
                self._break(runner)
                self._roll_back(runner)
                self._steady("steady at last")
                report = running.stop()
            self._load = None
        return DemoReport(
            report, tuple(DemoStep(p, self._took.get(p.name)) for p in report.phases if p.name in self._took)
        )

    def close(self, keep: bool) -> None:
        """Remove everything, unless `keep` is set."""
        if keep:
            return
        with suppress(PenstockError, OSError), Store(self.home.database) as store:
            Runner(self.home, load(self.repository / "pipeline.yaml"), store).down()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _prepare(self) -> None:
        shutil.copytree(_sample_app(), self.repository, ignore=shutil.ignore_patterns("__pycache__"))
        base = os.environ.get("PENSTOCK_BASE_IMAGE")
        text = _PIPELINE.format(
            name=NAME, args=f"BASE_IMAGE: {base}" if base else "", replicas=REPLICAS, port=self.port
        )
        (self.repository / "pipeline.yaml").write_text(text)
        self._git("init", "--quiet", "--initial-branch=main")
        self._commit("1", "Version 1")

    def _roll_out(self, runner: Runner) -> None:
        self._title("Version 2 is committed and rolled out")
        with self._phase("roll out version 2"):
            self._commit("2", "Version 2")
            runner.run()

    def _kill_a_target(self) -> None:
        with local_engine(self.home.id) as engine:
            victim = engine.containers.inspect(engine.containers.for_pipeline(NAME)[0].id)
            self._title(f"The container {victim.name} is killed (SIGKILL)")
            with self._phase("kill a target"):
                restarts = _kill(engine, victim)
                self._until(self._recovery(engine, victim, restarts), "the killed target is healthy again")
        if restarts:
            self._emit(EventKind.TARGET_HEALTHY, f"Docker restarted {victim.name}: it is healthy again")

    def _recovery(self, engine: Engine, victim: Container, restarts: bool) -> Callable[[], bool]:
        """Return a check for the recovery of the target group after `victim` was killed. It emits state changes."""
        balancer = open_balancer(self.home.balancer)
        seen: set[TargetState] = set()

        def recovered() -> bool:
            states = {h.state for h in balancer.target_health(NAME, "web")}
            if TargetState.UNHEALTHY in states - seen:
                self._emit(
                    EventKind.TARGET_UNHEALTHY, f"{victim.name} is unhealthy: the other targets receive its requests"
                )
            seen.update(states)
            now = engine.containers.inspect(victim.id)
            restarted = now.state == "running" and now.pid != victim.pid
            # Docker does not restart a container after its own `kill`. Then the group recovers without it.
            return states == {TargetState.HEALTHY} if restarted else (not restarts and TargetState.UNHEALTHY in seen)

        return recovered

    def _break(self, runner: Runner) -> None:
        self._title("Version 3 is committed: it passes its tests and fails its health check")
        with self._phase("roll out a broken version"):
            self._commit("3-broken", "Version 3, broken")
            try:
                runner.run()
            except RolledBack as outcome:
                self._emit(EventKind.DEMO_REFUSED, f"as expected: {outcome.message}")
            else:
                raise StageFailed("the broken version was deployed")

    def _roll_back(self, runner: Runner) -> None:
        self._title("Roll back to release 1: pipeline rollback 1")
        with self._phase("roll back to release 1"):
            runner.rollback(1)

    def _steady(self, name: str) -> None:
        assert self._load is not None
        with self._phase(name):
            wanted = self._load.report().sent + _STEADY_REQUESTS
            self._until(lambda: self._load is not None and self._load.report().sent >= wanted, "requests are sent")

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        assert self._load is not None
        self._load.mark(name)
        began = time.monotonic()
        yield
        self._took[name] = time.monotonic() - began

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _TIMEOUT
        while not condition():
            if self._cancelled.wait(0.05):
                raise Cancelled("cancelled")
            if time.monotonic() > deadline:
                raise SystemFault(f"timed out after {_TIMEOUT:.0f} s: {what}")

    def _commit(self, version: str, subject: str) -> None:
        (self.repository / "version.txt").write_text(f"{version}\n")
        self._git("add", "--all")
        self._git("-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "--quiet", "-m", subject)

    def _git(self, *arguments: str) -> None:
        settings = ("-c", "core.hooksPath=/dev/null", "-c", "commit.gpgSign=false")
        try:
            run_git(*settings, *arguments, directory=self.repository)
        except GitFailed as error:
            raise SystemFault(f"git {arguments[0]} failed: {error}") from error

    def _title(self, text: str) -> None:
        self._emit(EventKind.DEMO_STEP, text)

    def _emit(self, kind: EventKind, text: str) -> None:
        self._listener(Event(kind, text, NAME))


def table(report: DemoReport) -> Sequence[tuple[str, ...]]:
    """Return the report's rows: phase, sent, failed, longest gap, p50, p99, took."""
    rows = [
        (
            step.phase.name,
            str(step.phase.sent),
            str(step.phase.failed),
            f"{step.phase.longest_gap:.0f} ms",
            f"{step.phase.p50:.1f} ms",
            f"{step.phase.p99:.1f} ms",
            f"{step.took:.1f} s" if step.took else "",
        )
        for step in report.steps
    ]
    load = report.load
    total = (f"{load.longest_gap:.0f} ms", f"{load.p50:.1f} ms", f"{load.p99:.1f} ms", f"{load.seconds:.1f} s")
    return [*rows, ("all", str(load.sent), str(load.failed), *total)]


def _kill(engine: Engine, victim: Container) -> bool:
    """Kill a container like a crash. Return True if Docker will restart it, which it does not after its own `kill`."""
    if os.geteuid() == 0 and victim.pid:
        with suppress(ProcessLookupError):
            os.kill(victim.pid, signal.SIGKILL)
        return True
    engine.containers.kill(victim.id)
    return False


def _sample_app() -> Path:
    """Return the folder of the sample app: beside the packages in a checkout, among them in a wheel."""
    here = Path(__file__).resolve().parent
    return next(p for p in (here / "sample_app", here.parent / "sample_app") if p.is_dir())


def _free_port() -> int:
    """Return 8000 if it is free, else any free port."""
    for port in (8000, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise SystemFault("no port is free")

"""A home with a pipeline, its repository and its daemon with the web interface, which need no Docker.

HAProxy, the daemon and the deployments are real. Only the engine is in memory: see `loopback_engine.py`.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from pipeline.accessories.backup_files import BackupFiles
from pipeline.balancer.flows.plane import FlowPlane
from pipeline.balancer.haproxy.plane import HAProxyPlane
from pipeline.balancer.model import TargetHealth
from pipeline.balancer.planes import open_balancer
from pipeline.base.home import Home
from pipeline.events import Event
from pipeline.http.stack_report import StackReport
from pipeline.store.records import Run, RunState
from pipeline.store.store import Store
from pipeline.testing.load.load import Load
from pipeline.testing.load.profile import LoadProfile
from tests.support.ports import WORKER, free_ports
from tests.support.waiting import DEADLINE, listens, until

NAME, STACK = "shop", "names"
MADE = datetime(2026, 1, 2, tzinfo=UTC)
"""The time of the backup of the shop."""
TEMPLATE = """\
Resources:
  Greeting: {Type: AWS::SSM::Parameter, Properties: {Name: /shop/greeting, Type: String, Value: hello}}
"""
PIPELINE = """\
name: shop
source: {{branch: main}}
build:
  test: {{command: [{tests}], reports: /tmp/junit.xml, artifacts: [/tmp/junit.xml]}}
deploy:
  deploy_timeout: 20s
  stop_grace: 1s
  environment: {{VERSION: "{version}"}}
  {extra}
  services:
    web:
      target_group: web
      replicas: {replicas}
      environment: {{TARGET_PORT: "{web}", TARGET_HEALTH: "{health}"}}
      strategy: {strategy}
      {web_extra}
    api:
      target_group: api
      replicas: 2
      environment: {{TARGET_PORT: "{api}"}}
    queue:
      target_group: queue
      replicas: 2
      environment: {{TARGET_PORT: "{queue}"}}
    worker: {{command: [work], replicas: 1, health_check: {{uptime: 200ms}}}}
    nightly: {{command: [clean], schedule: "0 3 * * *"}}
accessories:
  db:
    image: "postgres:16"
    volumes: ["shop-db:/data"]
    health_check: {{uptime: 200ms}}
    backup: {{command: [dump]}}
    restore: {{command: [load]}}
balancer:
  target_groups:
    web:
      port: {web}
      health_check: {{path: /healthz, interval: 200ms}}
      deregistration_delay: {delay}
    api:
      port: {api}
      health_check: {{path: /healthz, interval: 200ms}}
      deregistration_delay: {delay}
    queue:
      protocol: TCP
      port: {queue}
      health_check: {{interval: 1s}}
      deregistration_delay: {delay}
  load_balancers:
    edge:
      scheme: internal
      listeners:
        - port: {port}
          rules:
            - {{priority: 10, conditions: [{{path_pattern: ["/api/*"]}}], action: {{forward: api}}}}
            - priority: 20
              conditions: [{{host_header: ["old.example.com"]}}]
              action: {{fixed_response: {{status_code: 410}}}}
          default_action: {{forward: web}}
    wire:
      type: network
      scheme: internal
      zones: {{zone-a: {zone_a}, zone-b: {zone_b}}}
      listeners: [{{protocol: TCP, port: {wire}, default_action: {{forward: queue}}}}]
"""
DEFAULTS = {
    "tests": "check",
    "version": "1",
    "replicas": 3,
    "health": 200,
    "strategy": "rolling",
    "delay": "2s",
    "extra": "retain: 10",
    "web_extra": "memory: 256MiB",
}


@dataclass
class World:
    """One home. `start` the daemon before anything else, and `remove` it at the end."""

    folder: Path
    template: str = PIPELINE
    """The pipeline.yaml of each commit, with names for the settings."""
    others: tuple[Path, ...] = ()
    """The files of further pipelines that the daemon serves."""
    home: Home = field(init=False)
    settings: dict[str, object] = field(default_factory=lambda: dict(DEFAULTS))
    _daemon: subprocess.Popen[bytes] | None = None
    _commands: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.home = Home.locate({"PENSTOCK_HOME": str(self.folder / "home")})
        self.repository = self.folder / NAME
        self.repository.mkdir(parents=True)
        self._log = self.folder / "serve.log"
        self.web_port, *targets = free_ports(6)
        # Load balancers are listed by their ports.
        self.port, wire = sorted((targets.pop(), targets.pop()))
        # Each worker of pytest has addresses of its own, and each port is used once on this machine.
        self._subnets = f"127.{64 + WORKER % 64}.0.0/16"
        zones = {"zone_a": f"127.{128 + WORKER % 64}.0.2", "zone_b": f"127.{128 + WORKER % 64}.0.3"}
        self.settings |= {
            "port": self.port,
            "wire": wire,
            **dict(zip(("web", "api", "queue"), targets, strict=True)),
            **zones,
        }
        (self.repository / "Dockerfile").write_text("FROM scratch\n")
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit("Open the shop")

    # The repository

    def git(self, *arguments: str) -> str:
        """Run a git command in the repository and return its output."""
        identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
        return subprocess.run(
            ["git", *identity, *arguments], cwd=self.repository, check=True, capture_output=True, text=True
        ).stdout

    def commit(self, subject: str, **settings: object) -> str:
        """Commit a new version with these settings of its template, and return the commit's id."""
        self.settings |= settings
        (self.repository / "pipeline.yaml").write_text(self.template.format(**self.settings))
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", subject)
        return self.git("rev-parse", "HEAD").strip()

    # The daemon

    @property
    def environment(self) -> dict[str, str]:
        """The environment of commands."""
        return {**os.environ, "PENSTOCK_HOME": str(self.home.root), "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}

    @property
    def url(self) -> str:
        """The address of the web interface."""
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def pid(self) -> int:
        """The process of the daemon."""
        assert self._daemon is not None
        return self._daemon.pid

    def start(self) -> None:
        """Start the daemon. Returns once it listens."""
        arguments = ("--web", f"127.0.0.1:{self.web_port}", "pipeline.yaml", *map(str, self.others))
        with self._log.open("ab") as output:
            self._daemon = subprocess.Popen(
                [sys.executable, "-m", "tests.browser.world_process", self._subnets, *arguments],
                cwd=self.repository,
                env={**self.environment, "PYTHONPATH": str(Path(__file__).parents[2])},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._await_start(1)

    def pause(self) -> None:
        """Stop the daemon. Its containers stay."""
        os.kill(self.pid, signal.SIGUSR1)
        until(lambda: not listens(self.web_port), "the end of the daemon")

    def resume(self) -> None:
        """Start another daemon after `pause`. Returns once it listens."""
        starts = self._starts()
        os.kill(self.pid, signal.SIGUSR2)
        self._await_start(starts + 1)

    def _starts(self) -> int:
        return len(re.findall(f"^serving {NAME} from", self.log(), re.MULTILINE))

    def _await_start(self, count: int) -> None:
        assert self._daemon is not None
        until(lambda: self._starts() >= count or self._daemon.poll() is not None, "the start of the daemon")
        assert self._daemon.poll() is None, self.log()

    def log(self) -> str:
        """Return what the daemon has printed."""
        return self._log.read_text() if self._log.exists() else ""

    def remove(self) -> None:
        """Stop the daemon and HAProxy."""
        for command in self._commands:
            if command.poll() is None:
                command.kill()
                command.communicate()
        if self._daemon is not None and self._daemon.poll() is None:
            self._daemon.send_signal(signal.SIGTERM)
            try:
                self._daemon.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self._daemon.kill()
                self._daemon.wait()
        FlowPlane(self.home.balancer, HAProxyPlane(self.home.balancer)).stop()

    # Commands, requests, and what is in the home

    def pipeline(self, *arguments: str, code: int | None = 0) -> str:
        """Run a command that the daemon answers, and return its output. Any exit code will do if `code` is None."""
        done = subprocess.run(
            [sys.executable, "-m", "pipeline.cli.main", *arguments],
            cwd=self.repository, env=self.environment, capture_output=True, text=True, timeout=DEADLINE, check=False,
        )  # fmt: skip
        told = f"{arguments}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert code is None or done.returncode == code, told
        return done.stdout

    def login(self, user: str, role: str = "operate") -> str:
        """Return a link with which a user logs in once."""
        printed = self.pipeline("web", "login", "--name", user, "--role", role)
        found = re.search(r"https?://\S+", printed)
        assert found, printed
        return found[0]

    def load(self, rate: float = 50, path: str = "/", **more: Any) -> Load:
        """Start a steady load."""
        return Load.start(LoadProfile(f"http://127.0.0.1:{self.port}{path}", rate, **more))

    def get(self, path: str, host: str = "shop.example.com") -> int:
        """Send a request to the load balancer and return the status."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)) as connection:
            connection.request("GET", path, headers={"Host": host})
            return connection.getresponse().status

    def kill_target(self, name: str, code: int = 137) -> None:
        """End the process of a target from inside."""
        target = next(health.target for health in self.targets() if health.target.id == name)
        with closing(HTTPConnection(str(target.address), target.port, timeout=DEADLINE)) as connection:
            connection.request("GET", f"/exit?code={code}")
            connection.getresponse().read()

    def targets(self, group: str = "web") -> tuple[TargetHealth, ...]:
        """Return the health of the targets of a group."""
        return open_balancer(self.home.balancer).target_health(NAME, group)

    def store(self) -> Store:
        """Open the database."""
        return Store(self.home.database)

    def events(self, kind: str) -> list[Event]:
        """Return the events of one kind, oldest first."""
        with self.store() as store:
            return [event for event in store.events.latest(NAME, limit=10_000) if event.kind == kind]

    def acts(self, user: str) -> list[str]:
        """Return the kinds of the events that name a user, oldest first."""
        with self.store() as store:
            return [event.kind for event in store.events.latest(NAME, limit=10_000) if event.fields.get("by") == user]

    def await_event(self, kind: str, count: int = 1) -> Event:
        """Wait for `count` events of a kind, and return the latest."""
        return until(lambda: len(found := self.events(kind)) >= count and found[-1], f"event {kind}", interval=0.05)

    def last_run(self) -> Run:
        """Return the newest run."""
        with self.store() as store:
            return store.runs.latest(NAME, limit=1)[0]

    def await_run(self, number: int, state: RunState = RunState.SUCCEEDED) -> Run:
        """Wait until a run has this state, and return it."""

        def reached() -> Run | None:
            with self.store() as store:
                run = store.runs.get(NAME, number)
            if run and run.state.over:
                assert run.state is state, f"run {number}: {run.state}, {run.reason}\n{self.log()}"
            return run if run and run.state is state else None

        return until(reached, f"run {number} {state}", interval=0.05)

    def create_stack(self, name: str = STACK, parameter: str = "greeting") -> None:
        """Create a stack with a parameter."""
        template = self.folder / f"{name}.yaml"
        template.write_text(TEMPLATE.replace("greeting", parameter))
        self.pipeline("stack", "create", name, "--template", str(template))

    def stack_acts(self, user: str) -> list[tuple[str, str]]:
        """Return the stacks and states of the events of stacks that name a user, oldest first."""
        with self.store() as store:
            stacks = StackReport(store)
            found = [event for stack in stacks.all(with_deleted=True) for event in stacks.events(stack.id)]
        return [(event.stack, event.status) for event in found if event.by == user]

    def write_backup(self) -> str:
        """Write a backup of the accessory, and return its name."""
        files = BackupFiles(self.home.backups(NAME, "db"))
        with files.writing() as draft:
            draft.write(b"every row\n")
            return files.complete(draft, "db", "postgres:16", MADE).name

    def settle(self) -> None:
        """Cancel what runs, and begin again with the settings that a new shop has."""
        with self.store() as store:
            while unfinished := store.queue.unfinished(NAME):
                for run in unfinished:
                    self.pipeline("cancel", str(run.number), code=None)
                until(lambda: len(store.queue.unfinished(NAME)) < len(unfinished), "the end of runs", interval=0.05)
        self.settings |= DEFAULTS

    def active(self) -> int:
        """Return the number of the active release."""
        with self.store() as store:
            release = store.releases.active(NAME)
        assert release is not None
        return release.number

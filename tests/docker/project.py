"""A repository with a pipeline and its own home, used through git and the command line as a user would."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from pipeline.balancer.model import TargetHealth, TargetState
from pipeline.balancer.planes import open_balancer
from pipeline.base.home import Home
from pipeline.engine.container import Container
from pipeline.engine.hosts import local_engine
from pipeline.engine.labels import LABEL_RELEASE, LABEL_SERVICE, ROLE_APP, ROLE_TEST
from pipeline.store.store import Store
from pipeline.testing.load.load import Load
from pipeline.testing.load.profile import LoadProfile
from tests.docker import remains
from tests.docker.docker_cli import docker
from tests.support import waiting
from tests.support.fork_server import fork_server, may_fork
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.waiting import COMMAND_TIMEOUT

DRIVER = Path(__file__).with_name("crashing.py")

# The port in pipeline.yaml differs in every test, so images would share no layer if they contained it.
IGNORED = "pipeline.yaml"

PIPELINE = """\
name: {name}
build:
  args: {{BASE_IMAGE: "{base}"}}
  test: {{command: [python3, -m, unittest], timeout: 30s}}
deploy:
  target_group: web
  replicas: {replicas}
  deploy_timeout: 20s
  stop_grace: 5s
balancer:
  target_groups:
    web:
      port: 8080
      health_check: {{path: /healthz, interval: 200ms}}
      deregistration_delay: 10s
  load_balancers:
    edge:
      scheme: internal
      listeners: [{{port: {port}, default_action: {{forward: web}}}}]
"""


# Builds and rollouts take longer than the conditions of other tests.
DEADLINE = 3 * waiting.DEADLINE
until = partial(waiting.until, deadline=DEADLINE, interval=0.05)


def _program(crash_at: str | None) -> list[str]:
    return [str(DRIVER), crash_at] if crash_at else ["-m", "pipeline.cli.main"]


@dataclass(frozen=True)
class Result:
    """The result of a command."""

    code: int
    out: str
    err: str

    def asserted(self, code: int | None) -> Result:
        """Assert the exit code unless `code` is None, and return this."""
        assert code is None or self.code == code, self
        return self

    def __str__(self) -> str:
        return f"exit code {self.code}\n{self.out}\n{self.err}"


@dataclass
class Project:
    """One pipeline. Two projects with the same `home` share a balancer."""

    directory: Path
    base_image: str
    home: Home
    name: str = "shop"
    replicas: int = 2
    workers: int = 0
    """The replicas of other services, which are no targets."""
    port: int = 0
    keep: ClassVar[bool] = False
    """`remove` leaves containers and HAProxy running."""
    created: ClassVar[list[Project]] = []
    """Every project of this process, for the reports of tests."""
    final_state: str = field(default="", repr=False)
    """The description of its home from `remove`, if the test had failed."""
    _held: list[socket.socket] = field(default_factory=list)
    _started: list[subprocess.Popen[str]] = field(default_factory=list)

    def create(self) -> Project:
        """Create the repository with the sample application as version 1, committed."""
        Project.created.append(self)
        self.take_port()
        shutil.copytree(ROOT / "sample_app", self.directory, ignore=shutil.ignore_patterns("__pycache__"))
        self.write(".dockerignore", IGNORED)
        self.configure()
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit("1")
        return self

    def take_port(self) -> None:
        """Choose a new port and reserve it for this project.

        A socket stays bound to it. Other tests skip a bound port, and HAProxy can still listen on it with SO_REUSEADDR.
        """
        while True:
            self._held.append(held := socket.socket())
            with suppress(OSError):
                held.bind(("127.0.0.1", free_port()))
                held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self.port = held.getsockname()[1]
                return

    def configure(self, *changes: tuple[str, str]) -> None:
        """Write pipeline.yaml, with parts replaced."""
        text = PIPELINE.format(name=self.name, base=self.base_image, replicas=self.replicas, port=self.port)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (self.directory / "pipeline.yaml").write_text(text)

    def write(self, name: str, content: str) -> None:
        """Write a file of the repository."""
        (self.directory / name).write_text(content)

    def commit(self, version: str | None = None) -> str:
        """Commit everything, as a new `version` if given, and return the commit's id."""
        if version is not None:
            self.write("version.txt", f"{version}\n")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", f"Version {version}")
        return self.git("rev-parse", "HEAD").strip()

    def git(self, *arguments: str) -> str:
        """Run a git command in the repository and return its output."""
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
        return subprocess.run(
            ["git", *identity, *arguments],
            cwd=self.directory,
            check=True,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT,
        ).stdout

    def archive(self) -> bytes:
        """Return the committed files as a tar."""
        command = ["git", "-c", "tar.umask=0022", "archive", "HEAD", ".", f":!{IGNORED}"]
        return subprocess.run(
            command, cwd=self.directory, check=True, capture_output=True, timeout=COMMAND_TIMEOUT
        ).stdout

    @property
    def environment(self) -> dict[str, str]:
        """The environment of commands."""
        return {**os.environ, "PENSTOCK_HOME": str(self.home.root), "NO_COLOR": "1"}

    def start(
        self, *arguments: str, crash_at: str | None = None, driver: Sequence[str] = (), **environment: str
    ) -> subprocess.Popen[str]:
        """Start `pipeline ARGUMENTS`. With `crash_at` it kills itself by SIGKILL at that point.

        `driver` is another program that runs the command line, with its first arguments.
        """
        program = list(driver) or _program(crash_at)
        process = subprocess.Popen(
            [sys.executable, *program, *arguments],
            cwd=self.directory,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def pipeline(self, *arguments: str, code: int | None = 0, **environment: str) -> Result:
        """Run `pipeline ARGUMENTS`, and assert its exit code unless `code` is None."""
        if environment or not may_fork():
            return self.finish(self.start(*arguments, **environment), code)
        return self._fork(None, arguments, code)

    def finish(self, process: subprocess.Popen[str], code: int | None = 0) -> Result:
        """Wait for a command, and assert its exit code unless `code` is None."""
        out, err = process.communicate(timeout=DEADLINE)
        return Result(process.returncode, out, err).asserted(code)

    def crash(self, point: str, *arguments: str) -> Result:
        """Run a command that is killed at `point`."""
        if not may_fork():
            return self.finish(self.start(*arguments, crash_at=point), code=-signal.SIGKILL)
        return self._fork(point, arguments, -signal.SIGKILL)

    def _fork(self, crash_at: str | None, arguments: Sequence[str], code: int | None) -> Result:
        """Run a command as a fork of a Python that has imported it."""
        program = [*_program(crash_at), *arguments]
        done = fork_server().run(program, self.directory, self.environment, DEADLINE)
        return Result(done.returncode, done.stdout, done.stderr).asserted(code)

    def load(self, rate: float = 60, **more: Any) -> Load:
        """Start a steady load on the service."""
        return Load.start(LoadProfile(f"http://127.0.0.1:{self.port}/", rate, **more))

    def containers(self, role: str = ROLE_APP) -> list[Container]:
        """Return the pipeline's containers, in any state."""
        with local_engine(self.home.id) as engine:
            return engine.containers.for_pipeline(self.name, role)

    def targets(self) -> tuple[TargetHealth, ...]:
        """Return the health of the targets in the data plane."""
        return open_balancer(self.home.balancer).target_health(self.name, "web")

    def store(self) -> Store:
        """Open the database."""
        return Store(self.home.database)

    def assert_serving(self, release: int, replicas: int | None = None) -> None:
        """Assert that exactly the containers and targets of a release exist, and that nothing is in progress."""
        containers, targets = self.containers(), self.targets()
        assert {c.name for c in containers if c.labels[LABEL_SERVICE] == "web"} == {h.target.id for h in targets}
        assert [c.state for c in containers] == ["running"] * ((replicas or self.replicas) + self.workers)
        assert {c.labels[LABEL_RELEASE] for c in containers} == {str(release)}
        assert {h.state for h in targets} == {TargetState.HEALTHY}
        assert self.containers(ROLE_TEST) == []
        with self.store() as store:
            active = store.releases.active(self.name)
            assert active is not None
            assert active.number == release
            assert store.deployments.open(self.name) is None
            assert store.runs.running(self.name) == []
            assert {c.image for c in containers} == {active.image_id}

    def assert_active(self, release: int) -> None:
        """Assert that a release is active, also while another one is being deployed."""
        with self.store() as store:
            active = store.releases.active(self.name)
        assert active is not None
        assert active.number == release

    def assert_gone(self) -> None:
        """Assert that no container, target or network is left."""
        assert self.containers() == []
        assert self.containers(ROLE_TEST) == []
        assert self.targets() == ()
        names = docker("network", "ls", "--format", "{{.Name}}").split()
        assert [n for n in names if n.startswith(f"penstock-{self.home.id[:6]}-{self.name}")] == []
        with self.store() as store:
            assert store.releases.active(self.name) is None
            assert store.deployments.open(self.name) is None

    def remove(self) -> None:
        """Kill its commands, stop HAProxy and remove its objects in Docker. With `keep`, only kill the commands."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.communicate(timeout=COMMAND_TIMEOUT)
        for held in self._held:
            held.close()
        if sys.exception() is not None:
            self.final_state = remains.describe(self.home)
        if not Project.keep:
            remains.remove(self.home)


Projects = Callable[..., Project]
"""The type of the fixture `projects`."""


def haproxy_processes(home: Home) -> dict[str, int]:
    """Return the process ids of the balancer's master and worker."""
    master = int((home.balancer / "haproxy.pid").read_text())
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    return {"master": master, "worker": int(children[-1])}

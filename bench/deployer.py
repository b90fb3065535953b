"""A service that is deployed again and again, by a command or by a daemon, with the time that it takes."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline.base.home import Home
from tests.docker.get import try_get
from tests.docker.project import Project, until
from tests.docker.serving import Serving


@dataclass(frozen=True)
class Deployment:
    """Seconds from the return of `git commit` until the first response of the commit, and until nothing is left."""

    served: float
    complete: float


class Deployer:
    """One service in a home of its own. With `daemon`, a daemon watches its repository.

    `environment` may select another version of Penstock.
    """

    def __init__(self, folder: Path, base: str, replicas: int, *, daemon: bool = False, **environment: str) -> None:
        folder.mkdir()
        home = Home.locate({"PENSTOCK_HOME": str(folder / "home")})
        self.project = Project(folder / "shop", base, home, replicas=replicas).create()
        self.project.configure(
            ("  test: {command: [python3, -m, unittest], timeout: 30s}\n", ""),
            (f"replicas: {replicas}", f"replicas: {replicas}\n  rolling: {{max_surge: 100%}}"),
            ("interval: 200ms", "interval: 100ms, healthy_threshold: 1"),
        )
        self.project.commit("0")
        self._environment = environment
        self._run()
        self._serving = Serving(self.project, **environment) if daemon else None
        if self._serving:
            self._serving.start()

    def deploy(self, version: str) -> Deployment:
        """Commit a version and wait until it is deployed."""
        self.project.commit(version)
        committed, begin = time.monotonic(), datetime.now(UTC)
        command = None if self._serving else self._start_command("run")
        until(lambda: f" {version} " in try_get(self.project), f"a response of version {version}", interval=0.01)
        served = time.monotonic() - committed
        if command:
            self.project.finish(command)
        # Seldom, because it takes CPU time from what is measured. The events say when it was.
        until(lambda: not self._is_running(), "the end of the run", interval=0.2)
        return Deployment(served, (self._last_removal(begin) - begin).total_seconds())

    def reach_deploy_again(self) -> float:
        """Return the seconds from the start of the command to its Deploy stage, for a tree that was built before."""
        self.project.git("commit", "--quiet", "--allow-empty", "-m", "Nothing changed")
        begin = datetime.now(UTC)
        self._run()
        with self.project.store() as store:
            run = store.runs.latest(self.project.name, 1)[0]
            deploy = next(s for s in store.runs.stages(self.project.name, run.number) if s.name == "deploy")
        return (deploy.started_at - begin).total_seconds()

    def remove(self) -> None:
        """Stop the daemon and remove everything."""
        if self._serving:
            self._serving.stop()
        self.project.remove()

    def _run(self) -> None:
        self.project.finish(self._start_command("run"))

    def _start_command(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command as users do, by the script that is installed."""
        script = str(Path(sys.executable).with_name("pipeline"))
        return self.project.start(*arguments, driver=(script,), **self._environment)

    def _last_removal(self, begin: datetime) -> datetime:
        """Return when the last of the old containers was removed."""
        with self.project.store() as store:
            events = store.events.latest(self.project.name, limit=1000)
        removed = [event.at for event in events if event.kind == "container.removed" and event.at > begin]
        assert len(removed) == self.project.replicas, removed
        return max(removed)

    def _is_running(self) -> bool:
        with self.project.store() as store:
            return not store.runs.latest(self.project.name, 1)[0].state.over

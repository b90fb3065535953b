"""The daemon of a project: start, output, events and stop."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.events import Event
from pipeline.store.records import Run, RunState
from tests.docker.project import DEADLINE, Project, until
from tests.support.waiting import COMMAND_TIMEOUT


class Serving:
    """Runs `pipeline serve` for one project, one process at a time."""

    def __init__(self, project: Project, *arguments: str, **environment: str) -> None:
        self.project = project
        self._arguments = arguments
        self._environment = environment
        self._output = project.directory.parent / f"serve-{project.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the daemon. Returns once it responds."""
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.cli.main", "serve", *self._arguments],
                cwd=self.project.directory,
                env={**self.project.environment, **self._environment, "PYTHONUNBUFFERED": "1"},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        until(
            lambda: f"serving {self.project.name} " in self.output() or self._process.poll() is not None,
            "the start of the daemon",
        )
        assert self._process.poll() is None, self.output()

    def kill(self) -> None:
        """Kill the daemon with SIGKILL, and wait for its exit."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=COMMAND_TIMEOUT)

    def scale_to_zero(self) -> None:
        """Let another daemon find that no replica is wanted, as after the idle time of the only service."""
        self.kill()
        with self.project.store() as store:
            (target,) = store.scaling.targets(self.project.name)
            assert store.scaling.set_count(target, 1, 0, "{}", "")
        self.start()
        until(lambda: not self.project.containers(), "no container")

    def exit_code(self) -> int:
        """Wait until the daemon ends by itself, and return its exit code."""
        assert self._process is not None
        return self._process.wait(timeout=DEADLINE)

    def stop(self) -> int:
        """Stop the daemon with SIGTERM, and return its exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=DEADLINE)

    def output(self) -> str:
        """Return the output of all processes so far."""
        return self._output.read_text() if self._output.exists() else ""

    def runs(self) -> list[Run]:
        """Return all runs, oldest first."""
        with self.project.store() as store:
            return store.runs.latest(self.project.name, limit=10_000)[::-1]

    def events(self, kind: str) -> list[Event]:
        """Return the events of one kind, oldest first."""
        with self.project.store() as store:
            return [e for e in store.events.latest(self.project.name, limit=100_000) if e.kind == kind]

    def await_run(self, number: int, state: RunState = RunState.SUCCEEDED, deadline: float = DEADLINE) -> Run:
        """Wait until a run has reached `state`, and return it."""

        def reached() -> Run | None:
            with self.project.store() as store:
                run = store.runs.get(self.project.name, number)
            if run and run.state.over:
                assert run.state is state, f"run {number}: {run.state}, {run.reason}\n{self.output()}"
            return run if run and run.state is state else None

        return until(reached, f"run {number} {state}", deadline=deadline)

    def await_event(self, kind: str, count: int = 1, deadline: float = DEADLINE) -> Event:
        """Wait for `count` events of a kind, and return the latest."""
        return until(lambda: len(found := self.events(kind)) >= count and found[-1], f"event {kind}", deadline=deadline)


@contextmanager
def serving(project: Project, *arguments: str, **environment: str) -> Iterator[Serving]:
    """Run the daemon of a project until the block ends, also if the test fails."""
    served = Serving(project, *arguments, **environment)
    served.start()
    try:
        yield served
    finally:
        served.stop()

"""Duration of a deployment, relative to the same work with Docker alone on the same machine.

The floor: build the image, start N containers at once, wait for the first 200 of the last one, and stop the N previous
ones at once. Each step uses the engine's API, without a balancer, health checks or a database.
"""

from __future__ import annotations

import http.client
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.build_time import BUILDKIT, bare_build
from bench.results import Results
from pipeline.base.home import Home
from pipeline.config.load import load
from pipeline.engine.container import ContainerSpec
from pipeline.engine.hosts import local_engine
from pipeline.engine.labels import LABEL_PIPELINE, LABEL_ROLE
from pipeline.runner.local import Runner
from tests.docker.project import Project, until

REPLICAS = (1, 4, 16)
ROUNDS = 5
MAX_RATIO = 1.5
MAX_SECONDS_REUSED = 0.5


@dataclass(frozen=True)
class Round:
    """Seconds for one version: by a running process, by a new command, and by Docker alone."""

    runner: float
    command: float
    floor: float


def measure() -> Results:
    """Measure the ratios for each number of replicas, and the time to Deploy if nothing has to be built."""
    rows, worst, reused = [], 0.0, 0.0
    for replicas in REPLICAS:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            comparison = Comparison(Path(folder), replicas)
            try:
                turns = [comparison.turn(number) for number in range(ROUNDS)]
                soonest = statistics.median(comparison.reach_deploy_again() for _ in range(ROUNDS))
            finally:
                comparison.remove()
        runner, command = (statistics.median(ratios) for ratios in zip(*map(_ratios, turns), strict=True))
        floor = statistics.median(turn.floor for turn in turns)
        rows.append((str(replicas), f"{floor:.2f} s", f"{runner:.2f}", f"{command:.2f}", f"{soonest * 1000:.0f} ms"))
        worst, reused = max(worst, runner), max(reused, soonest)
    return Results(
        "Duration of a deployment",
        f"Median of {ROUNDS} rounds, in turn. A run deploys a commit that changes one file of the sample "
        "application. It has no tests, max_surge 100%, a check every 100 ms, and a target is healthy after one "
        "pass. It is timed from its start to the removal of the last old container. The floor is the same work "
        "with Docker alone: build the same context, start N containers at once with Docker's SDK, wait for the "
        "first 200 of the last one, stop and remove N containers at once. The run is measured in a running "
        "process, as the floor is, and as the command `pipeline run` with its start. The last column is a run of "
        "the same tree again, from the start of the command to the start of Deploy.",
        ("replicas", "floor", "run, times the floor", "`pipeline run`, times the floor", "time to Deploy"),
        tuple(rows),
        f"a run takes at most {worst:.2f} times the floor (at most {MAX_RATIO}); the command reaches Deploy in "
        f"{reused * 1000:.0f} ms if there is nothing to build (at most {MAX_SECONDS_REUSED * 1000:.0f})",
        worst <= MAX_RATIO and reused <= MAX_SECONDS_REUSED,
    )


def _ratios(turn: Round) -> tuple[float, float]:
    return turn.runner / turn.floor, turn.command / turn.floor


class Comparison:
    """One service, deployed alternately by the pipeline and by Docker alone."""

    def __init__(self, folder: Path, replicas: int) -> None:
        home = Home.locate({"PENSTOCK_HOME": str(folder / "home")})
        base = Path(".setup/base-image").read_text()
        self._replicas = replicas
        self._engine = local_engine(home.id)
        self._bare: list[str] = []
        self._project = Project(folder / "shop", base, home, replicas=replicas).create()
        self._project.configure(
            ("  test: {command: [python3, -m, unittest], timeout: 30s}\n", ""),
            (f"replicas: {replicas}", f"replicas: {replicas}\n  rolling: {{max_surge: 100%}}"),
            ("interval: 200ms", "interval: 100ms, healthy_threshold: 1"),
        )
        self._project.commit("0")
        self._project.pipeline("run")
        self._deploy_bare("first")

    def turn(self, number: int) -> Round:
        """Deploy one version with each method."""
        runner = self._timed(f"{number} by a runner", self._run_here)
        command = self._timed(f"{number} by a command", lambda: self._project.pipeline("run"))
        self._project.write("version.txt", f"{number} bare\n")
        begin = time.monotonic()
        self._deploy_bare(f"{number}")
        turn = Round(runner, command, time.monotonic() - begin)
        print(f"{self._replicas} replicas: {turn}", file=sys.stderr)
        return turn

    def _timed(self, version: str, run: Callable[[], object]) -> float:
        self._project.commit(version)
        begin = datetime.now(UTC)
        run()
        with self._project.store() as store:
            events = store.events.latest(self._project.name)
        return (max(e.at for e in events if e.kind == "container.removed") - begin).total_seconds()

    def _run_here(self) -> None:
        configuration = load(self._project.directory / "pipeline.yaml")
        with self._project.store() as store:
            Runner(self._project.home, configuration, store).run()

    def reach_deploy_again(self) -> float:
        """Return the seconds from the start of the command to its Deploy stage, for a tree that was built before."""
        self._project.git("checkout", "--quiet", "--", "version.txt")
        self._project.git("commit", "--quiet", "--allow-empty", "-m", "Nothing changed")
        begin = datetime.now(UTC)
        self._project.pipeline("run")
        with self._project.store() as store:
            run = store.runs.latest(self._project.name, 1)[0]
            deploy = next(s for s in store.runs.stages(self._project.name, run.number) if s.name == "deploy")
        return (deploy.started_at - begin).total_seconds()

    def remove(self) -> None:
        """Remove all containers and the project."""
        self._stop(self._bare)
        self._project.remove()

    def _deploy_bare(self, version: str) -> None:
        build = [*bare_build(), "--quiet", "--build-arg", f"BASE_IMAGE={self._project.base_image}", "."]
        done = subprocess.run(
            build, cwd=self._project.directory, env=BUILDKIT, capture_output=True, text=True, check=True
        )
        image, previous = done.stdout.strip(), self._bare
        with ThreadPoolExecutor(16) as pool:
            self._bare = list(pool.map(lambda n: self._start(image, f"bare-{version}-{n}"), range(self._replicas)))
            list(pool.map(self._await_200, self._bare))
        self._stop(previous)

    def _start(self, image: str, name: str) -> str:
        labels = {LABEL_PIPELINE: "bare", LABEL_ROLE: "bare"}
        return self._engine.containers.start(ContainerSpec(name=f"{self._replicas}-{name}", image=image, labels=labels))

    def _await_200(self, container: str) -> None:
        address = self._engine.containers.inspect(container).address

        def answers() -> bool:
            with suppress(OSError):
                connection = http.client.HTTPConnection(address, 8080, timeout=1)
                connection.request("GET", "/healthz")
                return connection.getresponse().status == 200
            return False

        until(answers, f"{container} answers")

    def _stop(self, containers: Iterable[str]) -> None:
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda c: self._engine.containers.stop(c, timedelta(seconds=5)), containers))
            list(pool.map(self._engine.containers.remove, containers))

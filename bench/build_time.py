"""Duration of a build, relative to the bare docker command with the same builder.

The stage starts from a commit in the mirror. The command starts from the same commit: its files are extracted from
`git archive`, or they are already in a working tree.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.extent import Extent
from bench.results import Results
from pipeline.api import NothingToDo, StageContext, Wanted
from pipeline.base.home import Home
from pipeline.config.load import load
from pipeline.engine.docker.command import find_buildkit
from pipeline.engine.hosts import local_engine
from pipeline.events import Events
from pipeline.store.store import Store
from stages.build import DockerBuild
from stages.source import GitSource
from tests.docker.project import Project

ROUNDS = 15
# The stage also reads the Dockerfile's inputs, asks for their images and writes to the database.
MAX_RATIO = 1.5
BUILDKIT = {**os.environ, "DOCKER_BUILDKIT": "1"}
"""The environment of a bare build."""
_TAG = "penstock/bench-build:bare"


def bare_build() -> list[str]:
    """Return the beginning of the docker command that Penstock would use to build."""
    command, _ = find_buildkit(os.environ)
    if command is None:
        sys.exit("this measurement needs a docker command with BuildKit")
    return [command.path, *(["buildx", "build", "--load"] if command.buildx else ["build"])]


class NoLog:
    """A run log that keeps nothing, as the command's output is not kept either."""

    def line(self, stage: str, text: str) -> None:
        """Drop one line."""


def measure(_: Extent) -> Results:
    """Measure the ratios for a commit that changes one file."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, Comparison(Path(folder)) as comparison:
        comparison.turn("warm-up")
        turns = [comparison.turn(str(number)) for number in range(ROUNDS)]
        builder = comparison.builder
    stage, archive, tree = (statistics.median(seconds) for seconds in zip(*turns, strict=True))
    ratio, ratio_of_tree = (statistics.median(turn[0] / turn[other] for turn in turns) for other in (1, 2))
    return Results(
        title="Duration of a build",
        method=(
            f"Median of {ROUNDS} rounds, in turn. Each build is of a new commit that changes one file of the sample "
            f"application. The stage Build runs in a running process, without tests, with {builder}. The command is "
            "the same one with the same options, on the files that `git archive` extracts from the commit, and on a "
            "working tree that has them already."
        ),
        header=("stage Build", "`git archive` and `docker build`", "`docker build` in a working tree"),
        rows=((f"{stage * 1000:.0f} ms", f"{archive * 1000:.0f} ms", f"{tree * 1000:.0f} ms"),),
        verdict=(
            f"{ratio:.2f} times the command from a commit (at most {MAX_RATIO}), "
            f"{ratio_of_tree:.2f} times the command in a working tree"
        ),
        met=ratio <= MAX_RATIO,
    )


class Comparison:
    """The stage and the command, on one repository."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        base = os.environ["PENSTOCK_BASE_IMAGE"]
        self._project = Project(folder / "shop", base, Home.locate({"PENSTOCK_HOME": str(folder / "home")})).create()
        self._project.configure(("  test: {command: [python3, -m, unittest], timeout: 30s}\n", ""))
        self._run = 0
        self._command = [*bare_build(), "--progress=plain", f"--build-arg=BASE_IMAGE={base}", f"--tag={_TAG}"]
        with local_engine(self._project.home.id) as engine:
            self.builder = engine.builder.description.partition(", because")[0]

    def __enter__(self) -> Comparison:
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["docker", "rmi", "--force", _TAG], capture_output=True, check=False)
        self._project.remove()

    def turn(self, name: str) -> tuple[float, float, float]:
        """Build three new commits, one with each method, and return the seconds."""
        turn = (
            self._with_stage(f"{name} stage"),
            self._timed(f"{name} archive", self._build_archive),
            self._timed(f"{name} tree", lambda: self._build(self._project.directory)),
        )
        print(f"{name}: {turn}", file=sys.stderr)
        return turn

    def _with_stage(self, version: str) -> float:
        self._project.commit(version)
        self._run += 1
        with self._project.store() as store:
            context = self._context(store)
            checkout = GitSource().find(context, Wanted())
            assert not isinstance(checkout, NothingToDo)
            begin = time.monotonic()
            DockerBuild().build(context, checkout)
            return time.monotonic() - begin

    def _context(self, store: Store) -> StageContext:
        return StageContext(
            home=self._project.home,
            configuration=load(self._project.directory / "pipeline.yaml"),
            run=self._run,
            store=store,
            events=Events(self._project.name),
            log=NoLog(),
        )

    def _timed(self, version: str, build: Callable[[], None]) -> float:
        self._project.commit(version)
        begin = time.monotonic()
        build()
        return time.monotonic() - begin

    def _build_archive(self) -> None:
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            archive = ["git", "-C", str(self._project.directory), "archive", "HEAD"]
            with subprocess.Popen(archive, stdout=subprocess.PIPE) as git:
                subprocess.run(["tar", "-x", "-C", folder], stdin=git.stdout, check=True)
            self._build(Path(folder))

    def _build(self, folder: Path) -> None:
        with tempfile.TemporaryDirectory() as other:
            command = [*self._command, f"--iidfile={other}/id", str(folder)]
            subprocess.run(command, env=BUILDKIT, capture_output=True, check=True)

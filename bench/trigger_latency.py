"""Time from a commit to its run, by a hook and by watching, in a small and in a large repository."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench.extent import Extent
from bench.figure import Figure, percentile
from bench.large_repository import fill
from bench.results import Results
from pipeline.base.home import Home
from pipeline.store.records import Run
from tests.docker.project import Project, until
from tests.docker.serving import Serving, serving

COMMITS = 100
_MAX_STARTED, _MAX_SLOWED = 30.0, 15.0
# In seconds. A watcher that is flooded with events finds a commit only after more than a minute.
_DEADLINE = 300
_NO_HOOKS = ("-c", "core.hooksPath=/dev/null")


@dataclass
class Figures:
    """Measurements in milliseconds, one per commit."""

    place: str
    trigger: str
    started: list[float] = field(default_factory=list)
    source: list[float] = field(default_factory=list)
    hooked: list[float] = field(default_factory=list)
    unhooked: list[float] = field(default_factory=list)

    @property
    def slowed(self) -> float | None:
        """The time that the hook adds to `git commit`."""
        pairs = zip(self.hooked, self.unhooked, strict=False)
        return statistics.median(a - b for a, b in pairs) if self.unhooked else None

    def row(self) -> tuple[str, ...]:
        """Return a row of the table."""
        slowed = "" if self.slowed is None else f"{self.slowed:.1f} ms"
        source = f"{statistics.median(self.source):.0f} ms"
        return (
            self.place,
            self.trigger,
            f"{statistics.median(self.started):.0f} ms",
            f"{percentile(self.started, 0.99):.0f} ms",
            slowed,
            source,
        )


def measure(extent: Extent) -> Results:
    """Measure each repository with each trigger."""
    commits = extent.choose(COMMITS, 5)
    found = _repositories(commits, large=not extent.quick)
    slowed = max(f.slowed for f in found if f.slowed is not None)
    return Results.judged(
        "From a commit to its run",
        f"{commits} commits each, one after the other's run. The latency is the time from the return of `git "
        "commit` to the run's first event, by that event's time stamp. The commits change nothing under "
        "`source.paths`, so a run ends with Source. A hook notifies the daemon shortly before `git commit` "
        "returns. The cost of the hook is the median difference between a commit with it and the previous one "
        "without it. Source is the time from the run's first event to the end of the stage, where Build would "
        "begin. While refs are listed, another process runs `git for-each-ref` all the time.",
        ("repository", "trigger", "p50", "p99", "`git commit` slowed by", "Source, median"),
        [f.row() for f in found],
        [
            *(
                Figure(f"p99 with a {f.trigger}, {f.place}, ms", percentile(f.started, 0.99), _MAX_STARTED)
                for f in found
            ),
            Figure("a commit slowed by, ms", slowed, _MAX_SLOWED),
        ],
    )


def _repositories(commits: int, *, large: bool) -> list[Figures]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, _deployed(Path(folder)) as project:
        found = [*_both(project, "a small repository", commits)]
    if large:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, _deployed(Path(folder)) as project:
            fill(project.directory)
            found += _both(project, "100,000 files, 50,000 refs, one file per ref", commits)
            with _listing_refs(project):
                found += _both(project, "the same, while refs are listed", commits)
            project.git("pack-refs", "--all")
            found += _both(project, "100,000 files, 50,000 packed refs", commits)
    return found


@contextmanager
def _listing_refs(project: Project) -> Iterator[None]:
    """List the refs all the time in another process, which opens every file of a ref."""
    command = ["sh", "-c", "while git for-each-ref >/dev/null; do :; done"]
    process = subprocess.Popen(command, cwd=project.directory, start_new_session=True)
    try:
        yield
        assert process.poll() is None, "the listing of refs has ended"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def _deployed(folder: Path) -> Iterator[Project]:
    """Yield a project with an active release, so that a commit outside `source.paths` is not deployed."""
    base, home = Path(".setup/base-image").read_text().strip(), Home.locate({"PENSTOCK_HOME": str(folder / "home")})
    project = Project(folder / "shop", base, home, replicas=1).create()
    try:
        _configure(project, watch=True)
        project.pipeline("run")
        yield project
    finally:
        project.remove()


def _configure(project: Project, *, watch: bool) -> None:
    project.configure(
        ("  test: {command: [python3, -m, unittest], timeout: 30s}\n", ""),
        ("name: shop\n", f"name: shop\nsource: {{paths: [version.txt]}}\ntriggers: {{watch: {str(watch).lower()}}}\n"),
    )
    project.commit()


def _both(project: Project, place: str, commits: int) -> Iterator[Figures]:
    project.pipeline("hook", "install")
    _configure(project, watch=False)
    with serving(project) as served:
        yield _measure(served, Figures(place, "hook"), commits, hooked=True)
    project.pipeline("hook", "uninstall")
    _configure(project, watch=True)
    with serving(project) as served:
        yield _measure(served, Figures(place, "watch"), commits, hooked=False)


def _measure(served: Serving, figures: Figures, commits: int, *, hooked: bool) -> Figures:
    project = served.project
    _await(served, project.git("rev-parse", "HEAD").strip())
    for number in range(commits):
        if hooked:
            figures.unhooked.append(_commit(project, number, *_NO_HOOKS))
        took = _commit(project, number)
        returned = datetime.now(UTC)
        if hooked:
            figures.hooked.append(took)
        run = _await(served, project.git("rev-parse", "HEAD").strip())
        with project.store() as store:
            times = {e.kind: e.at for e in store.events.latest(project.name, run.number)}
        figures.started.append((times["run.started"] - returned).total_seconds() * 1000)
        figures.source.append((times["stage.finished"] - times["run.started"]).total_seconds() * 1000)
    print(f"{figures.row()}, longest {max(figures.started):.0f} ms", file=sys.stderr)
    return figures


def _commit(project: Project, number: int, *options: str) -> float:
    """Make a commit and return its duration in milliseconds."""
    started = time.monotonic()
    project.git(*options, "commit", "--quiet", "--allow-empty", "-m", f"Number {number}")
    return (time.monotonic() - started) * 1000


def _await(served: Serving, sha: str) -> Run:
    """Wait until the run of a commit and all earlier runs have finished, and return the run."""

    def finished() -> Run | None:
        with served.project.store() as store:
            runs = store.runs.latest(served.project.name, 3)
        mine = next((r for r in runs if r.sha == sha and r.state.over), None)
        return mine if all(r.state.over for r in runs) else None

    try:
        found: Run = until(finished, f"the end of the run of {sha}", deadline=_DEADLINE)
    except AssertionError:
        print(served.output(), file=sys.stderr)
        raise
    return found

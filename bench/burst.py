"""A burst of commits from many writers to one branch: none is lost, and deployments keep their order."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from bench.extent import Extent
from bench.results import Results
from pipeline.base.home import Home
from pipeline.store.records import RunState
from tests.docker.invariants import (
    DockerEventRecorder,
    assert_deployed_in_order,
    assert_each_has_a_run,
    assert_last_is_deployed,
    assert_no_orphans,
    assert_sound,
    assert_true_states,
    wait_until_idle,
)
from tests.docker.project import Project
from tests.docker.serving import serving
from tests.docker.writers import burst, line, share

WRITERS = 8
# Commits per execution mode: one that skips outdated commits, and one that deploys every commit.
COMMITS: dict[str, int] = {"superseded": 500, "parallel": 40}


def measure(_: Extent) -> Results:
    """Measure a burst in each mode. Raises `AssertionError` if an invariant is broken."""
    measured = [_measure(mode, commits) for mode, commits in COMMITS.items()]
    lost = sum(failed for _, failed in measured)
    return Results(
        "A burst of commits",
        f"{WRITERS} writers push to one branch of a bare repository, each from its own clone. A writer pushes "
        "again if another was faster. The service is under a steady load. Afterwards SQLite and Docker are "
        "checked. Each commit of the branch has one run, in the order of the commits. No deployment began before "
        "the previous one had ended, and none went back to an older commit. Containers of at most two releases "
        "ran at the same time. The running containers have the files of the last commit. Commits that arrive "
        "faster than they are built supersede one another, up to the last.",
        ("mode", "commits", "pushed in", "runs", "superseded", "deployments", "done after", "requests", "failed"),
        tuple(row for row, _ in measured),
        f"each of {sum(COMMITS.values())} commits has its run, the last one is deployed; {lost} requests lost",
        lost == 0,
    )


def _measure(mode: str, commits: int) -> tuple[tuple[str, ...], int]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        home = Home.locate({"PENSTOCK_HOME": f"{folder}/home"})
        project = Project(Path(folder) / "shop", Path(".setup/base-image").read_text(), home).create()
        # No run may be pruned before it is counted.
        settings = f"execution_mode: {mode}\nretention: {{runs: {2 * commits}}}\n"
        project.configure(("name: shop\n", f"name: shop\n{settings}"))
        project.commit("1")
        try:
            row, failed = _burst(project, Path(folder), commits)
        finally:
            project.remove()
    return (mode, *row), failed


def _burst(project: Project, folder: Path, count: int) -> tuple[tuple[str, ...], int]:
    bare, file = share(project)
    begin = line(bare)
    with serving(project, str(file)) as served, DockerEventRecorder(project.home) as recorder:
        served.await_run(1)
        with project.load() as load:
            started = time.monotonic()
            commits = burst(bare, folder, count, WRITERS)
            pushed = time.monotonic() - started
            wait_until_idle(project, commits[-1], 300)
            done = time.monotonic() - started
            report = load.stop()
        assert len(commits) == len(begin) + count
        assert_each_has_a_run(project, commits[len(begin) - 1 :])
        deployments = assert_deployed_in_order(project, commits)
        assert_last_is_deployed(project, bare, commits[-1])
        assert_true_states(project)
        assert_no_orphans(project)
        assert_sound(project.home)
        states = [run.state for run in served.runs()][1:]
    assert recorder.most_releases_at_once() == 2
    return (
        str(count),
        f"{pushed:.0f} s",
        str(len(states)),
        str(states.count(RunState.SUPERSEDED)),
        str(deployments - 1),
        f"{done:.0f} s",
        str(report.sent),
        str(report.failed),
    ), report.failed

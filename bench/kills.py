"""Repeated SIGKILL of the daemon at random moments under load and commits: nothing is lost."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from bench.extent import Extent
from bench.results import Results
from pipeline.base.home import Home
from tests.docker.invariants import (
    assert_deployed_in_order,
    assert_each_has_a_run,
    assert_last_is_deployed,
    assert_no_orphans,
    assert_sound,
    assert_true_states,
    rows,
    wait_until_idle,
)
from tests.docker.project import Project
from tests.docker.serving import Serving, serving
from tests.docker.writers import committing, line

KILLS, SEED, RATE = 100, 4, 60
# Seconds from the daemon's start to its SIGKILL: before it can start a run, and after a deployment can finish.
MIN_LIFETIME, MAX_LIFETIME = 0.2, 6.0
# Seconds between commits. If they came faster than builds, only the last one would be deployed.
PAUSE = 4.0


def measure(_: Extent) -> Results:
    """Kill the daemon repeatedly. Raises `AssertionError` if an invariant is broken."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        home = Home.locate({"PENSTOCK_HOME": f"{folder}/home"})
        project = Project(Path(folder) / "shop", Path(".setup/base-image").read_text(), home).create()
        # No run may be pruned before it is counted.
        project.configure(("name: shop\n", "name: shop\nretention: {runs: 10000}\n"))
        project.commit("1")
        try:
            with serving(project) as served:
                row, lost = _kills(served)
        finally:
            project.remove()
    return Results(
        "Killing the daemon",
        f"SIGKILL {KILLS} times, {MIN_LIFETIME:g} to {MAX_LIFETIME:g} s after its start (seed {SEED}), with a commit "
        f"every {PAUSE:g} s and {RATE} requests a second. Afterwards SQLite and Docker are checked. Each commit has "
        "one run. Each run has finished, and its state is true: a successful run was deployed, a superseded one names "
        "a newer run. No deployments overlap or go back to an older commit. The last commit is deployed. No "
        "container, network or row is left over, and `PRAGMA integrity_check` returns ok.",
        (
            "kills",
            "commits",
            "runs by state",
            "interrupted in",
            "most attempts",
            "requests",
            "failed",
            "longest gap",
        ),
        (row,),
        f"{lost} requests lost to {KILLS} kills",
        lost == 0,
    )


def _kills(served: Serving) -> tuple[tuple[str, ...], int]:
    project, chance = served.project, random.Random(SEED)
    served.await_run(1)
    with project.load(rate=RATE) as load:
        with committing(project, PAUSE):
            for number in range(KILLS):
                time.sleep(chance.uniform(MIN_LIFETIME, MAX_LIFETIME))
                served.kill()
                served.start()
                if number % 10 == 9:
                    print(f"{number + 1} kills, {load.report().failed} failed", file=sys.stderr)
        last = project.commit("last")
        wait_until_idle(project, last)
        report = load.stop()
    commits = line(project.directory)
    assert_each_has_a_run(project, commits[1:])
    assert_deployed_in_order(project, commits)
    assert_last_is_deployed(project, project.directory, last)
    assert_true_states(project)
    assert_no_orphans(project)
    assert_sound(project.home)
    runs = served.runs()
    states = Counter(run.state.value for run in runs)
    interruptions = rows(project.home, "SELECT message FROM events WHERE kind='run.interrupted'")
    places = Counter(row["message"].partition(" during ")[2] or "between stages" for row in interruptions)
    return (
        str(KILLS),
        str(len(commits)),
        ", ".join(f"{count} {state}" for state, count in states.most_common()),
        ", ".join(f"{place} {count}" for place, count in places.most_common()),
        str(max(run.attempts for run in runs)),
        str(report.sent),
        str(report.failed),
        f"{report.longest_gap:.0f} ms",
    ), report.failed

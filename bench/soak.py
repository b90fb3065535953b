"""Growth of the daemon's memory with its runs. For two thousand runs: `make bench ARGS="soak --runs 2000"`."""

from __future__ import annotations

import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from bench.extent import Extent
from bench.figure import Figure
from bench.idle_project import idle_project, settle
from bench.process import descriptors, pss, rss, threads
from bench.results import Results
from tests.docker.serving import Serving, serving

_FIRST, _RUNS, _POINTS = 50, 100, 8
_MAX_GROWTH = 3.0


class Sample(NamedTuple):
    """The daemon after a number of runs. Memory is in MB."""

    runs: int
    pss: float
    rss: float
    threads: int
    descriptors: int

    def row(self) -> tuple[str, ...]:
        """Return a row of the table."""
        return f"{self.runs:,}", f"{self.pss:.1f} MB", f"{self.rss:.1f} MB", str(self.threads), str(self.descriptors)


def measure(extent: Extent) -> Results:
    """Measure the daemon after 50 runs, then up to the last one."""
    runs = max(extent.runs or _RUNS, _FIRST + 1)
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        idle_project(Path(folder), 1) as project,
        serving(project) as served,
    ):
        numbers = points(runs)
        samples = [_sample(served, before, number) for before, number in pairwise([0, *numbers])]
    first, last = samples[0], samples[-1]
    return Results.judged(
        "The daemon after many runs",
        f"`pipeline serve` with one target, while {runs:,} commits are deployed one after the other. The daemon is "
        f"measured {_POINTS} times at most, each time after its last run has ended. The growth is from {_FIRST} "
        "runs to the last one.",
        ("runs", "memory (PSS)", "resident", "threads", "descriptors"),
        [sample.row() for sample in samples],
        [
            Figure("memory, MB more", last.pss - first.pss, _MAX_GROWTH),
            Figure("threads more", last.threads - first.threads, 0),
            Figure("descriptors more", last.descriptors - first.descriptors, 0),
        ],
    )


def points(runs: int) -> list[int]:
    """Return the numbers of runs after which to measure: the first one, the last one, and some between them."""
    steps = _POINTS - 1
    return sorted({_FIRST + (runs - _FIRST) * step // steps for step in range(steps + 1)})


def _sample(served: Serving, before: int, number: int) -> Sample:
    """Deploy the commits after run `before` up to run `number`, and measure."""
    for run in range(before + 1, number + 1):
        # The daemon runs the first commit by itself.
        if run > 1:
            served.project.commit(f"{run}")
        served.await_run(run)
    settle()
    pid = served.pid
    found = Sample(number, pss(pid), rss(pid), threads(pid), descriptors(pid))
    print(found, file=sys.stderr)
    return found

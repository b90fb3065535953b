"""False alarms and power of `rollback_on` in simulated deployments that are looked at every second.

Each deployment has a canary of 10 % for five minutes. Beside Penstock's tests, fixed-sample tests of the same
confidence are evaluated as often.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.util import find_spec

from bench.extent import Extent
from bench.figure import Figure
from bench.programs import ProgramMissing
from bench.results import Results

# Percent of equal releases that may have an alarm, and of bad ones that may have none.
_FALSE_ALARMS, _MISSED = 1.0, 1.0
_MAX_LOOK = 1.0


def measure(extent: Extent) -> Results:
    """Simulate each shape of deployments. Raises `ProgramMissing` without numpy."""
    if find_spec("numpy") is None:
        raise ProgramMissing("numpy")
    # Only this measurement needs numpy, and tests import its module without it.
    from bench.deployment_shapes import SHAPES
    from bench.look_cost import look_cost
    from bench.simulated_canary import TESTS, deployment

    counts = extent.choose((10_000, 500), (200, 50))
    rows: list[tuple[str, ...]] = []
    figures = [Figure("a look at seven alarms, ms of CPU time", look_cost(), _MAX_LOOK)]
    with ProcessPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
        for index, shape in enumerate(SHAPES):
            count = counts[0 if shape.is_equal else 1]
            alarms = [*pool.map(partial(deployment, index), range(count), chunksize=25)]
            for test in TESTS[shape.expects]:
                seconds = [found for each in alarms if (found := each[test]) is not None]
                rows.append(row(shape.name, test, seconds, count))
                print(*rows[-1], sep=" | ", file=sys.stderr, flush=True)
                if shape.limits(test):
                    figures.append(figure(shape.name, test, len(seconds) / count * 100, is_equal=shape.is_equal))
    return results(counts, rows, figures)


def results(counts: tuple[int, int], rows: Sequence[tuple[str, ...]], figures: Sequence[Figure]) -> Results:
    """Return the section of the page. `counts`: deployments with equal releases, and others, of each shape."""
    return Results.judged(
        "Alarms of a canary",
        f"Simulated deployments: {counts[0]:,} of each of the first three kinds, in which both releases are equal, so "
        f"each alarm is a false one, and {counts[1]:,} of each other kind. Each has 5 minutes with a canary of 10 %, "
        "at 200 requests/s and with 0.1 % of 500s where nothing else is said. Each test is evaluated every second, "
        "alone, at a confidence of 99 %.",
        ("deployment", "test", "alarms", "median second of the alarm"),
        rows,
        figures,
    )


def figure(shape: str, test: str, percent: float, *, is_equal: bool) -> Figure:
    """Return the share of false alarms, or of missed ones."""
    if is_equal:
        return Figure(f"{shape}: false alarms of {test}, %", percent, _FALSE_ALARMS)
    return Figure(f"{shape}: missed by {test}, %", 100 - percent, _MISSED)


def row(shape: str, test: str, seconds: Sequence[int], count: int) -> tuple[str, ...]:
    """Return a row of the table."""
    median = f"{statistics.median(seconds):.0f}" if seconds else "none"
    return shape, test, f"{len(seconds) / count * 100:.2f} %", median

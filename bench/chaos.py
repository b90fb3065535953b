"""Random faults at a service under load. For an hour: `python -m bench.chaos --minutes 60 --seed 7`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path

from bench.extent import Extent
from bench.results import Results
from pipeline.testing.load.report import LoadReport, PhaseReport
from tests.docker.chaos import LOSING, cause, chaotic_service
from tests.docker.private_engine import private_engine

MINUTES, SEED, RATE = 10.0, 1, 60.0


def measure(_: Extent) -> Results:
    """Inject faults for the usual time, in the usual order."""
    return inject(MINUTES, SEED)


def inject(minutes: float, seed: int) -> Results:
    """Inject each fault once, then more until the time is over. Raises `AssertionError` if one is not repaired."""
    base = Path(".setup/base-image").read_text()
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        private_engine(base, live_restore=True) as engine,
        chaotic_service(base, Path(folder), seed, RATE, engine) as (chaos, load),
    ):
        end = time.monotonic() + 60 * minutes
        for number, fault in takewhile(
            lambda numbered: numbered[0] < chaos.count or time.monotonic() < end, enumerate(chaos.sequence())
        ):
            begin, known = time.monotonic(), load.report().failed
            said = chaos.inject(fault)
            took, failures = time.monotonic() - begin, load.report().failures[known:]
            print(f"{number + 1}: {fault}: {took:.1f} s; {len(failures)} failed", file=sys.stderr)
            if failures:
                print(*failures, said, sep="\n", file=sys.stderr)
        report = load.report()
    unexpected = sum(cause(failure) not in LOSING for failure in report.failures)
    return Results(
        "Chaos",
        f"{minutes:g} minutes of faults, one after the other, in a random order (seed {seed}), half of them in the "
        f"middle of a run. Four replicas get {RATE:g} requests a second, a fifth of them on new connections, each "
        "POST with an Idempotency-Key. An event must explain each fault, and everything must be as declared again "
        "before the next one. The measurement has its own Docker engine, with live-restore. Requests in flight to "
        "a killed HAProxy, or to a target that stopped responding, cannot be saved. The gap is the client's "
        "longest time without a success.",
        ("fault", "times", "requests", "failed", "longest gap"),
        tuple(_rows(report)),
        f"{unexpected} of {report.sent} requests lost to faults that should lose none; "
        f"{report.failed - unexpected} in flight to processes that were killed or stopped responding",
        unexpected == 0,
    )


def _rows(report: LoadReport) -> Iterable[tuple[str, ...]]:
    names = sorted(
        {phase.name for phase in report.phases} - {"start", "before"}, key=lambda name: (name == "calm", name)
    )
    for name in names:
        phases = [phase for phase in report.phases if phase.name == name]
        yield _row(name, phases, sum(cause(failure) == name for failure in report.failures))


def _row(name: str, phases: list[PhaseReport], failed: int) -> tuple[str, ...]:
    return (
        name,
        str(len(phases)) if name != "calm" else "",
        str(sum(phase.sent for phase in phases)),
        str(failed),
        f"{max(phase.longest_gap for phase in phases):.0f} ms",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    print(inject(options.minutes, options.seed).as_markdown())

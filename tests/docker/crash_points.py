"""Kill a command before and after each of its side effects: `python -m tests.docker.crash_points OPERATION`.

The results are kept in `.setup/crash-points`, so a sweep that was stopped continues.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import click

from tests.docker.crash_operations import OPERATIONS, Trial
from tests.docker.crash_stage import Point, Stage, points
from tests.docker.stack_crash_operations import STACK_OPERATIONS, StackTrial
from tests.docker.stack_crash_stage import StackStage
from tests.support.paths import ROOT

RESULTS = ROOT / ".setup" / "crash-points"


class Sweep:
    """The points of one operation and what became of them, kept in a file."""

    def __init__(self, operation: str) -> None:
        self._operation = operation
        self._names = RESULTS / f"{operation}.names"
        self._results = RESULTS / f"{operation}.jsonl"
        RESULTS.mkdir(parents=True, exist_ok=True)

    def forget(self) -> None:
        """Start over."""
        self._names.unlink(missing_ok=True)
        self._results.unlink(missing_ok=True)

    def points(self) -> list[Point]:
        """Return every point. The command is run once to find them."""
        if not self._names.exists():
            with _trial(self._operation) as trial:
                self._names.write_text("\n".join(trial.side_effects()))
        return list(points(self._names.read_text().splitlines()))

    def results(self) -> dict[str, dict[str, object]]:
        """Return the latest result of each point that was tried."""
        lines = self._results.read_text().splitlines() if self._results.exists() else []
        return {line["point"]: line for line in map(json.loads, lines)}

    def run(self, wanted: list[Point], until: float) -> None:
        """Kill the command at each point, in a new service after a failure."""
        while wanted and time.monotonic() < until:
            with _trial(self._operation) as trial:
                while wanted and time.monotonic() < until:
                    if not self._try(trial, wanted.pop(0)):
                        break

    def _try(self, trial: Trial | StackTrial, point: Point) -> bool:
        since = time.monotonic()
        try:
            result = "passed" if trial.kill(point) else "not reached"
            reason = ""
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this point's result
            result, reason = "FAILED", "".join(traceback.format_exception(error))
        seconds = round(time.monotonic() - since, 1)
        click.echo(f"{result:11}  {seconds:5.1f} s  {point}")
        with self._results.open("a") as file:
            json.dump({"point": str(point), "result": result, "seconds": seconds, "reason": reason}, file)
            file.write("\n")
        return result != "FAILED"

    def report(self) -> bool:
        """Print what became of all points. Return whether none failed."""
        found, every = self.results(), self.points()
        for result in ("passed", "not reached", "FAILED"):
            count = sum(found[str(p)]["result"] == result for p in every if str(p) in found)
            click.echo(f"{self._operation}: {count} of {len(every)} {result}")
        failed = [line for line in found.values() if line["result"] == "FAILED"]
        for line in failed:
            click.echo(f"\n{line['point']}\n{line['reason']}")
        left = len(every) - len(found)
        if left and found:
            mean = sum(float(str(line["seconds"])) for line in found.values()) / len(found)
            click.echo(f"{self._operation}: {left} left, about {timedelta(seconds=round(left * mean))}")
        return not failed


def sample(every: list[Point], count: int) -> list[Point]:
    """Return so many points, evenly spread, before and after side effects by turns."""
    pairs = len(every) // 2
    return [every[2 * (number * pairs // count) + number % 2] for number in range(min(count, pairs))]


@contextmanager
def _trial(operation: str) -> Iterator[Trial | StackTrial]:
    """Yield a trial of an operation in a new home."""
    folder = Path(tempfile.mkdtemp(prefix="crash-points-"))
    base_image = (ROOT / ".setup" / "base-image").read_text().strip()
    try:
        with ExitStack() as made:
            if operation in STACK_OPERATIONS:
                stack_stage = StackStage(folder, base_image)
                made.callback(stack_stage.remove)
                yield StackTrial(stack_stage, STACK_OPERATIONS[operation])
            else:
                stage = Stage(folder, base_image)
                made.callback(stage.remove)
                yield Trial(stage, OPERATIONS[operation])
    finally:
        shutil.rmtree(folder)


@click.command()
@click.argument("operation", type=click.Choice([*OPERATIONS, *STACK_OPERATIONS]))
@click.option("--from", "start", default=0, help="The number of the first point.")
@click.option("--sample", "count", default=0, help="Try this many points, evenly spread.")
@click.option("--minutes", default=10_000.0, help="Begin no point after this time.")
@click.option("--again", is_flag=True, help="Try the points that failed again.")
@click.option("--forget", is_flag=True, help="Drop the results of earlier sweeps.")
def main(operation: str, start: int, count: int, minutes: float, *, again: bool, forget: bool) -> None:
    """Kill OPERATION before and after each of its side effects, and print what failed."""
    sweep, until = Sweep(operation), time.monotonic() + 60 * minutes
    if forget:
        sweep.forget()
    every, found = sweep.points(), sweep.results()
    over = {point for point, line in found.items() if not (again and line["result"] == "FAILED")}
    wanted = sample(every, count) if count else every[start:]
    sweep.run([point for point in wanted if str(point) not in over], until)
    raise SystemExit(not sweep.report())


if __name__ == "__main__":
    main()

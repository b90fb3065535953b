"""The program of `make lab`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import click

from lab import (
    step_1_infrastructure,
    step_2_inspection,
    step_3_alb,
    step_4_paths,
    step_5_user_agents,
    step_6_cross_zone,
    step_7_source_address,
    step_8_gateway,
    step_9_removal,
)
from lab.finding import show
from lab.laboratory import SOURCE, CommandFailed, Laboratory
from lab.requirements import obstacle

STEPS = (
    step_1_infrastructure,
    step_2_inspection,
    step_3_alb,
    step_4_paths,
    step_5_user_agents,
    step_6_cross_zone,
    step_7_source_address,
    step_8_gateway,
    step_9_removal,
)
FIRST, LAST = 1, len(STEPS)
FOLDER = SOURCE.parents[1] / ".setup" / "elb-lab"


@click.command("make lab")
@click.argument("steps", nargs=-1, type=click.IntRange(FIRST, LAST))
def command(steps: tuple[int, ...]) -> None:
    """Play all steps and remove what they made, or play some and leave it: make lab ARGS="1 3"."""
    sys.exit(play(steps))


def play(steps: Sequence[int]) -> int:
    """Play some steps, or all of them if none is given, and return the exit code."""
    lab = Laboratory(FOLDER)
    if reason := obstacle():
        return _refuse(reason)
    if steps:
        return _play_some(lab, steps)
    if lab.exists:
        return _refuse(
            "a laboratory is there already. Play one of its steps: make lab ARGS=4\nRemove it: make lab ARGS=9"
        )
    return _play_all(lab)


def _play_some(lab: Laboratory, wanted: Sequence[int]) -> int:
    """Play steps and leave what they made. A step needs what step 1 makes, so that comes first if it is missing."""
    if not (lab.exists and lab.has_network) and wanted[0] not in (FIRST, LAST):
        wanted = [FIRST, *wanted]
    return 0 if all(_play(lab, number) for number in wanted) else 1


def _play_all(lab: Laboratory) -> int:
    """Play all steps. The last one, which removes everything, is played also after one that failed."""
    began = time.monotonic()
    try:
        succeeded = all(_play(lab, number) for number in range(FIRST, LAST))
    finally:
        removed = _play(lab, LAST)
    print(f"\n{LAST} steps in {time.monotonic() - began:.0f} s")
    return 0 if succeeded and removed else 1


def _play(lab: Laboratory, number: int) -> bool:
    """Play a step and print what it shows. Return whether all of it is as expected."""
    step = STEPS[number - 1]
    print(f"\n== Step {number}: {step.TITLE}", flush=True)
    try:
        findings = step.play(lab)
    except CommandFailed as error:
        print(f"step {number} failed: {error}", file=sys.stderr)
        return False
    print(f"\n{show(findings)}", flush=True)
    return all(finding.holds for finding in findings)


def _refuse(reason: str) -> int:
    print(reason, file=sys.stderr)
    return 3


if __name__ == "__main__":
    command()

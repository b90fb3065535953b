"""Run measurements and write their results: `python -m bench [--quick] [NAME…]`.

`python -m bench plot` makes a page with the results of all commits.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from datetime import UTC, datetime

from bench.extent import Extent
from bench.history import Entry, append, current_commit, read
from bench.machine import describe
from bench.plot import write_page
from bench.programs import PROGRAMS, ProgramMissing, find_program
from bench.results import Results, write
from tests.support.paths import ROOT

# The measurements with a short version, which `--quick` runs.
QUICK = (
    "proxy_cost",
    "rules",
    "tls",
    "reuse_race",
    "flow_cost",
    "gateway_path",
    "deploy_time",
    "command_start",
    "scale",
    "trigger_latency",
    "resident",
    "flow_rollout",
    "aws_calls",
    "scaling",
)
NAMES = (
    "loss",
    "stack_of_100",
    "build_time",
    *QUICK,
    "many_pipelines",
    "soak",
    "rule_changes",
    "share_changes",
    "zones",
    "burst",
    "kills",
    "reboot",
    "upgrade",
    "chaos",
    "flow_changes",
    "flows_held",
    "alarms",
    "scaling_step",
    "first_request",
    "canary",
    "mirror",
    "web_pages",
)
PLOT = ROOT / ".setup/bench.html"


def main() -> int:
    """Run the named measurements, or all. The exit code is 1 if one misses its limits."""
    # Users keep Python's bytecode, so commands start faster than without it.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    arguments = parse(sys.argv[1:])
    if arguments.names == ["plot"]:
        write_page(read(), PLOT)
        print(PLOT)
        return 0
    machine, extent = describe(), Extent(arguments.quick, arguments.runs)
    print(machine)
    if extent.quick:
        print("A short version with few rounds: it shows large changes only. bench/RESULTS.md stays as it is.")
    if missing := [program for program in PROGRAMS if find_program(program) is None]:
        print(f"missing on this machine, so not compared: {', '.join(missing)}")
    names = arguments.names or (QUICK if extent.quick else NAMES)
    # Read once: the results of the first measurement change the working tree.
    commit = current_commit()
    met = [_measure(name, extent, machine, commit) for name in names]
    return 0 if all(met) else 1


def parse(words: list[str]) -> argparse.Namespace:
    """Return the names and options. Exits with code 2 if they are invalid."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"plot, or some of {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="a short version in two to four minutes, only printed")
    parser.add_argument("--runs", type=int, help="the number of runs of the measurement soak")
    arguments = parser.parse_args(words)
    known = QUICK if arguments.quick else NAMES
    if arguments.names != ["plot"] and (unknown := [name for name in arguments.names if name not in known]):
        parser.error(f"unknown measurement {unknown[0]}; use some of {', '.join(known)}")
    return arguments


def _measure(name: str, extent: Extent, machine: str, commit: str) -> bool:
    """Run one measurement, and return whether its limits are met. One that misses a program is skipped."""
    try:
        results: Results = importlib.import_module(f"bench.{name}").measure(extent)
    except ProgramMissing as missing:
        print(f"\n{name}: skipped, {missing} is missing")
        return True
    if not extent.quick:
        write(name, results, machine)
        today = datetime.now(UTC).date()
        append(Entry(today, commit, name, figure) for figure in results.figures)
    print(f"\n{results.as_markdown()}", flush=True)
    return results.met


if __name__ == "__main__":
    sys.exit(main())

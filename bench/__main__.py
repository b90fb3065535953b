"""Run measurements and write their results: `python -m bench [NAME…]`."""

from __future__ import annotations

import importlib
import sys

from bench.machine import describe
from bench.results import Results, write

NAMES = (
    "loss",
    "build_time",
    "deploy_time",
    "proxy_cost",
    "rules",
    "rule_changes",
    "tls",
    "scale",
    "trigger_latency",
    "resident",
    "burst",
    "kills",
    "reboot",
    "upgrade",
    "chaos",
)


def main() -> int:
    """Run the named measurements, or all. The exit code is 1 if one misses its limits."""
    names = sys.argv[1:] or list(NAMES)
    if unknown := [name for name in names if name not in NAMES]:
        print(f"unknown measurement {unknown[0]}; use one of {', '.join(NAMES)}", file=sys.stderr)
        return 2
    machine = describe()
    print(machine)
    met = True
    for name in names:
        results: Results = importlib.import_module(f"bench.{name}").measure()
        write(name, results, machine)
        print(f"\n{results.as_markdown()}")
        met &= results.met
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())

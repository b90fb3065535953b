"""A running proxy, and the comparison of several under the same load."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bench.process import cpu, pss
from bench.programs import program

CONNECTIONS = 32


@dataclass(frozen=True)
class Proxy:
    """A running proxy. `script` generates wrk's requests if they differ. `lacks` is what it does not do."""

    name: str
    port: int
    pid: int
    scheme: str = "http"
    lacks: str = ""
    script: Path | None = None

    def processes(self) -> list[int]:
        """Return the process and all its descendants."""
        found, queue = [], [self.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").iterdir():
                queue += map(int, (task / "children").read_text().split())
        return found

    def cpu(self) -> float:
        """Return the CPU time so far, in seconds."""
        return sum(map(cpu, self.processes()))

    def memory(self) -> float:
        """Return the memory in MB, with shared pages counted once."""
        return sum(map(pss, self.processes()))


@dataclass
class Costs:
    """The CPU time of a response in µs, and the responses per second, in each round."""

    each: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The median CPU time of a response, in µs."""
        return statistics.median(self.each)

    @property
    def rate(self) -> float:
        """The median of the responses per second."""
        return statistics.median(self.rates)


class Rounds(NamedTuple):
    """The rounds of a comparison, each of some seconds for each proxy."""

    number: int
    seconds: int
    warm_up: bool = True

    def __str__(self) -> str:
        return (
            f"{self.number} rounds of {self.seconds} s, in turn: medians, and the median of the ratios within a round."
        )


FULL, QUICK = Rounds(7, 3), Rounds(2, 1, warm_up=False)
Load = Callable[[Proxy, int], int]
"""Sends requests to a proxy for some seconds, and returns the number of responses. None may fail."""


def requests(proxy: Proxy, seconds: int, *headers: str) -> int:
    """Send requests by wrk on kept connections."""
    command = [program("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", f"{proxy.scheme}://127.0.0.1:{proxy.port}/"]
    command += ["-s", str(proxy.script)] if proxy.script else []
    command += [word for header in headers for word in ("-H", header)]
    return responses(proxy.name, subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def connections(proxy: Proxy, seconds: int) -> int:
    """Send requests by wrk, each on a new connection."""
    return requests(proxy, seconds, "Connection: close")


def responses(name: str, output: str) -> int:
    """Return the number of responses that wrk has counted. Raises `AssertionError` if a request failed."""
    assert "Non-2xx" not in output, f"{name}: {output}"
    assert "Socket errors" not in output, f"{name}: {output}"
    found = re.search(r"(\d+) requests in", output)
    assert found is not None, output
    return int(found[1])


def take_turns(proxies: Sequence[Proxy], rounds: Rounds, load: Load = requests) -> dict[str, Costs]:
    """Measure all proxies, round by round, so that other work on the machine affects all of them.

    Returns the costs by the name of the proxy.
    """
    costs = {proxy.name: Costs() for proxy in proxies}
    for proxy in proxies if rounds.warm_up else ():
        load(proxy, 1)
    for turn in range(rounds.number):
        first = turn % len(proxies)
        for proxy in [*proxies[first:], *proxies[:first]]:
            cost, rate = _cost(proxy, rounds.seconds, load)
            costs[proxy.name].each.append(cost)
            costs[proxy.name].rates.append(rate)
    return costs


def _cost(proxy: Proxy, seconds: int, load: Load) -> tuple[float, float]:
    """Return the CPU time of a response in µs, and the responses per second."""
    before = proxy.cpu()
    count = load(proxy, seconds)
    cost, rate = (proxy.cpu() - before) / count * 1e6, count / seconds
    print(f"{proxy.name}: {cost:.1f} µs, {rate:.0f}/s", file=sys.stderr)
    return cost, rate

"""Auto scaling in a daemon: a step of the load and back, and what it costs the daemon."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.extent import Extent
from bench.figure import Figure
from bench.idle_project import idle_project
from bench.process import cpu
from bench.results import Results
from pipeline.balancer.haproxy.access_log import HAProxyAccessLog
from pipeline.balancer.model import TargetState
from pipeline.balancer.telemetry.group_load import GroupLoads
from pipeline.scaling.controller import CONTROL_INTERVAL
from pipeline.scaling.percentile import percentile
from pipeline.testing.load.load import Load
from tests.docker.project import Project, until
from tests.docker.serving import Serving, serving
from tests.support.access_log import raw

_LOW, _HIGH = 50, 400
_CPUS, _PER_TARGET, _MAX_REPLICAS = 0.1, 60, 10
_TARGET_MS = 200.0
_INTERVAL = CONTROL_INTERVAL.total_seconds()
_WINDOW_SECONDS, _SETTLE_SECONDS = 4.0, 1.0
_RATE, _LINES = 1000, 300_000
_MAX_SHARE = 1.0


class Step(NamedTuple):
    """Seconds from the step to the decision, from that to all containers healthy, and then to a p99 under the target.

    `worst` is the p99 of the worst window in milliseconds, and `after` that of the first whole interval after that.
    """

    replicas: int
    decided: float
    up: float
    quick: float
    worst: float
    after: float


class Run(NamedTuple):
    """The step, the replicas at its end, and all requests of both loads."""

    step: Step
    replicas_after: int
    sent: int
    failed: int
    daemon_share: float


def measure(_: Extent) -> Results:
    """Measure a step and the way back, then the cost of reading the access log."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        idle_project(Path(folder), 1) as project,
        _scaled(project) as served,
    ):
        found = _run(project, served)
    read = _read_share()
    step = found.step
    return Results.judged(
        "Auto scaling of a step",
        f"The sample application with {_CPUS:g} CPUs for each replica, under {_LOW} requests per second, then {_HIGH}, "
        f"then {_LOW} again. The policy keeps {_PER_TARGET} requests per second for each replica, of 1 to "
        f"{_MAX_REPLICAS}. The p99 is that of windows of {_WINDOW_SECONDS:g} s, and its target is {_TARGET_MS:g} ms. "
        f"The control interval is {_INTERVAL:g} s. The daemon's CPU is that under {_HIGH} requests per second, with "
        f"all of its work. The cost of the metrics is that of reading the log of {_RATE} requests per second.",
        ("what", "measured"),
        [
            ("replicas under the step", str(step.replicas)),
            ("from the step to the decision", f"{step.decided:.1f} s"),
            ("from the decision to all replicas healthy", f"{step.up:.1f} s"),
            ("from then to a p99 under the target", f"{step.quick:.1f} s"),
            ("p99 of the worst window", f"{step.worst:.0f} ms"),
            ("p99 after that", f"{step.after:.0f} ms"),
            ("replicas after the step", str(found.replicas_after)),
            ("requests, failed", f"{found.sent:,}, {found.failed}"),
            ("CPU of the daemon", f"{found.daemon_share:.1f} % of a core"),
            ("CPU for the metrics", f"{read:.2f} % of a core"),
        ],
        [
            Figure("control intervals until the p99 is under the target", step.quick / _INTERVAL, 2),
            Figure("failed requests", found.failed, 0),
            Figure("% of a core for the metrics at 1,000 requests a second", read, _MAX_SHARE),
        ],
    )


@contextmanager
def _scaled(project: Project) -> Iterator[Serving]:
    policy = f"{{max: {_MAX_REPLICAS}, scale_in_cooldown: 15s, target: {{requests_per_target: {60 * _PER_TARGET}}}}}"
    project.configure(
        ("  test: {command: [python3, -m, unittest], timeout: 30s}\n", ""),
        ("replicas: 1\n", f"cpus: {_CPUS}\n  scaling: {policy}\n"),
    )
    project.commit("1")
    with serving(project) as served:
        served.await_run(1)
        yield served


def _run(project: Project, served: Serving) -> Run:
    with project.load(_LOW) as low:
        _pause(2 * _INTERVAL)
        assert len(project.containers()) == 1, "the low load needs one replica"
        with project.load(_HIGH - _LOW) as high:
            step, share = _step(project, served, low, high)
            more = high.stop()
        until(lambda: len(project.containers()) == 1, "the way back")
        _pause(_WINDOW_SECONDS)
        less = low.stop()
    print(step, file=sys.stderr)
    failed = more.failed + less.failed
    return Run(step, len(project.containers()), more.sent + less.sent, failed, share)


def _step(project: Project, served: Serving, low: Load, high: Load) -> tuple[Step, float]:
    begin = time.monotonic()
    windows = _Windows(low, high)
    windows.until(lambda: bool(served.events("scaling.out")))
    decided = time.monotonic()
    windows.until(lambda: _is_up(project, served))
    up = time.monotonic()
    while windows.next() > _TARGET_MS:
        assert time.monotonic() - up < 10 * _INTERVAL, "the p99 stays over the target"
    quick = time.monotonic() - up
    worst, spent, since = max(windows.found), cpu(served.pid), time.monotonic()
    after = max(windows.next() for _ in range(round(_INTERVAL / _WINDOW_SECONDS)))
    share = 100 * (cpu(served.pid) - spent) / (time.monotonic() - since)
    return Step(len(project.containers()), decided - begin, up - decided, quick, worst, after), share


class _Windows:
    """The p99 of two loads together, in windows that follow one another. Milliseconds."""

    def __init__(self, low: Load, high: Load) -> None:
        self._loads = (low, high)
        self.found: list[float] = []

    def next(self) -> float:
        """Let a window pass, and return its p99: that of the load with the longer one."""
        name = f"window {len(self.found)}"
        self._mark(name)
        _pause(_WINDOW_SECONDS)
        self._mark("between two windows")
        # Until its last requests have a response.
        _pause(_SETTLE_SECONDS)
        phases = [phase for load in self._loads for phase in load.report().phases if phase.name == name]
        self.found.append(max(phase.p99 for phase in phases))
        return self.found[-1]

    def until(self, reached: Callable[[], bool]) -> None:
        """Let windows pass until a condition is true."""
        begin = time.monotonic()
        while not reached():
            assert time.monotonic() - begin < 10 * _INTERVAL, "the controller does not react"
            self.next()

    def _mark(self, name: str) -> None:
        for load in self._loads:
            load.mark(name)


def _is_up(project: Project, served: Serving) -> bool:
    wanted = served.events("scaling.out")[-1].fields["replicas"]
    return sum(health.state is TargetState.HEALTHY for health in project.targets()) == wanted


def _pause(seconds: float) -> None:
    time.sleep(seconds)


def _read_share() -> float:
    """Return the CPU for reading the requests of one group and their p90, as a percentage of a core."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        log = Path(folder) / "access.log"
        loads = GroupLoads(lambda: HAProxyAccessLog(log))
        loads.take("shop.web")
        agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36"
        log.write_bytes(raw(uri="/carts/17?currency=eur", user_agent=agent) * _LINES)
        begin = time.process_time()
        found = loads.take("shop.web")
        assert found is not None
        assert found.requests == _LINES
        percentile(sorted(found.times), 0.9)
        return 100 * (time.process_time() - begin) / _LINES * _RATE

"""Lost requests: many deployments, and many kills, under a steady load.

First it finds the highest rate at which the sample application responds in time on this machine, with the load
generator, the balancer and the replicas on it. The deployments then run under 60 % of that rate.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.extent import Extent
from bench.results import Results
from pipeline.balancer.model import TargetState
from pipeline.base.home import Home
from pipeline.engine.container import Container
from pipeline.engine.hosts import local_engine
from pipeline.engine.interfaces import Engine
from pipeline.testing.load.report import LoadReport
from tests.docker.docker_cli import kill_process
from tests.docker.project import Project, until

REPLICAS = 4
DEPLOYMENTS = 20
REQUESTS = 200_000
KILLS = 20
SHARE = 0.6
MAX_GAP = 250.0
_RATE_STEP, _PROBE_SECONDS, _MAX_LATENCY = 200, 4.0, 25.0


@dataclass(frozen=True)
class Measured:
    """A load's report, with what happened during it."""

    what: str
    report: LoadReport

    def row(self) -> tuple[str, ...]:
        """Return a row of the table."""
        r = self.report
        return (
            self.what,
            f"{r.sent / r.seconds:.0f}/s",
            str(r.sent),
            str(r.failed),
            f"{r.longest_gap:.0f} ms",
            f"{r.p50:.1f} ms",
            f"{r.p99:.1f} ms",
        )


def measure(_: Extent) -> Results:
    """Measure deployments and kills, each under a load."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        home = Home.locate({"PENSTOCK_HOME": f"{folder}/home"})
        base = Path(".setup/base-image").read_text()
        project = Project(Path(folder) / "shop", base, home, replicas=REPLICAS).create()
        try:
            project.pipeline("run")
            capacity = _capacity(project)
            rate = capacity * SHARE
            deployed = Measured(f"{DEPLOYMENTS} rolling deployments", _deployments(project, rate))
            killed = Measured(f"{KILLS} targets killed, one every 5 s", _kills(project, rate))
        finally:
            project.remove()
    met = (
        deployed.report.failed == 0
        and deployed.report.sent >= REQUESTS
        and deployed.report.longest_gap < MAX_GAP
        and killed.report.failed == 0
    )
    return Results(
        "Lost requests",
        f"{REPLICAS} replicas of the sample application. A fifth of the requests open a new connection, and 30 % "
        f"are POSTs. Each is sent when it is due, even if others have no response yet. The rate is {SHARE:.0%} of "
        f"{capacity:.0f} requests/s. That is the highest steady rate on this machine, load generator included, "
        f"with a p99 latency under {_MAX_LATENCY:.0f} ms and no request sent later than that. The gap is the client's "
        "longest time without a success. While targets are killed, each POST carries an Idempotency-Key, because "
        "a POST in flight to a killed process is not retried without one.",
        ("during", "rate", "requests", "failed", "longest gap", "p50", "p99"),
        (deployed.row(), killed.row()),
        f"{deployed.report.failed} of {deployed.report.sent} requests lost, longest gap "
        f"{deployed.report.longest_gap:.0f} ms (at most {MAX_GAP:.0f}); {killed.report.failed} of "
        f"{killed.report.sent} lost to {KILLS} kills",
        met,
    )


def _capacity(project: Project) -> float:
    """Return the highest rate in requests per second that is sent and answered in time."""
    rate = _RATE_STEP
    while True:
        with project.load(rate=rate + _RATE_STEP) as load:
            _sleep(_PROBE_SECONDS)
            report = load.stop()
        in_time = report.failed == 0 and max(report.p99, report.late) < _MAX_LATENCY
        print(
            f"{rate + _RATE_STEP}/s: p99 {report.p99:.0f} ms, sent {report.late:.0f} ms late at most", file=sys.stderr
        )
        if not in_time:
            return float(rate)
        rate += _RATE_STEP


def _deployments(project: Project, rate: float) -> LoadReport:
    with project.load(rate=rate) as load:
        for number in range(1, DEPLOYMENTS + 1):
            project.commit(f"{number}, rolled out under load")
            project.pipeline("run")
            report = load.report()
            print(f"deployment {number}: {report.sent} sent, {report.failed} failed", file=sys.stderr)
            while load.report().sent < number * REQUESTS / DEPLOYMENTS:
                _sleep(0.2)
        return load.stop()


def _kills(project: Project, rate: float) -> LoadReport:
    with project.load(rate=rate, idempotent=True) as load, local_engine(project.home.id) as engine:
        for number in range(KILLS):
            begin = time.monotonic()
            victim = engine.containers.inspect(project.containers()[number % REPLICAS].id)
            kill_process(victim.id)
            until(partial(_restarted, engine, victim), "it was restarted")
            until(lambda: {h.state for h in project.targets()} == {TargetState.HEALTHY}, "all are healthy again")
            _sleep(5 - (time.monotonic() - begin))
        return load.stop()


def _restarted(engine: Engine, victim: Container) -> bool:
    return engine.containers.inspect(victim.id).pid not in (0, victim.pid)


def _sleep(seconds: float) -> None:
    """Let the load run for `seconds`."""
    time.sleep(max(0.0, seconds))

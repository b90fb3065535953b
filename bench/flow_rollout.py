"""Rolling deployments of a service behind a network load balancer that the kernel carries, under new connections.

Then the same with SIGKILL of `pipeline run` at each step. The next commands complete it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from bench.extent import Extent
from bench.figure import Figure
from bench.flow_load import SECONDS, FlowLoadReport, flow_load
from bench.results import Results
from pipeline.base.home import Home
from tests.docker.far_client import FarClient
from tests.docker.flow_service import deploy_flows, echo_files
from tests.docker.project import Project, until

REPLICAS, RATE, DELAY = 4, 500, 20
PRESERVED = "{preserve_client_ip.enabled: true}"
# Events at which the command is killed, in the order of a deployment. The number after `*` counts the events.
STEPS = (
    "run.started",
    "stage.finished source",
    "stage.finished build",
    "deployment.started",
    "container.starting",
    "container.started",
    "target.registered",
    "target.healthy",
    "target.draining",
    "container.stopping",
    "container.stopped",
    "container.removed",
    "target.draining*3",
    "container.removed*4",
    "stage.finished deploy",
)


class Measured(NamedTuple):
    """A load's report, with what happened during it."""

    what: str
    report: FlowLoadReport

    def row(self) -> tuple[str, ...]:
        """Return a row of the table."""
        r = self.report
        return (
            self.what,
            f"{r.made / r.seconds:.0f}/s",
            f"{r.made:,}",
            f"{r.lasting:,}",
            _described(r.refused),
            _described(r.broken),
        )


def measure(extent: Extent) -> Results:
    """Measure deployments and kills, each under the load. Raises `AssertionError` if a command fails."""
    deployments, steps = extent.choose((5, STEPS), (1, ("target.healthy", "target.draining*3")))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, closing(FarClient()) as far:
        home = Home.locate({"PENSTOCK_HOME": f"{folder}/home"})
        base = Path(".setup/base-image").read_text()
        project = Project(Path(folder) / "shop", base, home, replicas=REPLICAS).create()
        project.configure(("  stop_grace: 5s\n", "  stop_grace: 5s\n  rolling: {max_surge: 2}\n"))
        try:
            deploy_flows(project, far.host, echo_files(), delay=f"{DELAY}s", attributes=PRESERVED)
            measured = [
                _under_load(project, far, f"{deployments} rolling deployments", lambda: _deploy(project, deployments)),
                _under_load(project, far, f"SIGKILL at {len(steps)} steps", lambda: _kill(project, steps)),
            ]
        finally:
            project.remove()
    return Results.judged(
        "Deployments behind a network load balancer of the kernel",
        f"{REPLICAS} replicas of the TCP example, at most 2 more during a deployment. A client in a network namespace "
        f"makes {RATE} connections a second, and the service sees its address. Each sends a line and closes after the "
        f"answer. One in 50 stays open for {SECONDS:g} s and asks again each second. The deregistration delay is "
        f"{DELAY} s, so no connection may end before its client closes it. In the second row, `pipeline run` is killed "
        "at one step of each deployment; `pipeline recover` and another `pipeline run` complete it.",
        ("during", "rate", "connections", f"open for {SECONDS:g} s", "not made", "broken"),
        [each.row() for each in measured],
        [
            figure
            for each in measured
            for figure in (
                Figure(f"{each.what}: connections not made", each.report.refused.total(), 0),
                Figure(f"{each.what}: connections broken", each.report.broken.total(), 0),
            )
        ],
    )


def _under_load(project: Project, far: FarClient, what: str, act: Callable[[], None]) -> Measured:
    with flow_load(far.namespace, far.host, project.port, RATE) as report:
        act()
    # HAProxy would show its own address to the service.
    assert set(report.seen) == {far.address}, report.seen
    return Measured(what, report)


def _deploy(project: Project, times: int) -> None:
    for number in range(times):
        began = time.monotonic()
        project.commit(f"{number + 2}")
        _run(project, "run")
        print(f"deployment {number + 1}: {time.monotonic() - began:.0f} s", file=sys.stderr)


def _kill(project: Project, steps: tuple[str, ...]) -> None:
    for number, step in enumerate(steps):
        began = time.monotonic()
        project.commit(f"killed-{number}")
        project.crash(step, "run")
        _run(project, "recover")
        _run(project, "run")
        with project.store() as store:
            active = store.releases.active(project.name)
        assert active is not None
        assert active.sha == project.git("rev-parse", "HEAD").strip(), step
        project.assert_serving(active.number)
        print(f"killed at {step}, completed: {time.monotonic() - began:.0f} s", file=sys.stderr)


def _run(project: Project, command: str) -> None:
    """Run a command. Most of its time it waits for the connections that stay open."""
    process = project.start(command)
    until(lambda: process.poll() is not None, f"the end of {command}", deadline=300, interval=0.1)
    project.finish(process)


def _described(reasons: dict[str, int]) -> str:
    return ", ".join(f"{reason}: {count}" for reason, count in reasons.items()) or "0"

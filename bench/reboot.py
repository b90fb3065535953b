"""Downtime of a service after a power cut of everything."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.extent import Extent
from bench.results import Results
from pipeline.base.home import Home
from tests.docker.get import try_get
from tests.docker.invariants import wait_until_idle
from tests.docker.power_cut import cut_power
from tests.docker.private_engine import PrivateEngine, private_engine
from tests.docker.project import Project, until
from tests.docker.serving import Serving

REBOOTS, MAX_DOWNTIME = 10, 5.0


def measure(_: Extent) -> Results:
    """Measure power cuts, with Docker and the daemon started in either order."""
    base = Path(".setup/base-image").read_text()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, private_engine(base) as engine:
        home = Home.locate({"PENSTOCK_HOME": f"{folder}/home"})
        project = Project(Path(folder) / "shop", base, home).create()
        served = Serving(project)
        try:
            served.start()
            served.await_run(1)
            first = [_reboot(served, engine, _docker_first) for _ in range(REBOOTS)]
            late = [_reboot(served, engine, _docker_late) for _ in range(REBOOTS)]
        finally:
            served.stop()
            project.remove()
    slowest = max(*first, *late)
    return Results(
        "After a reboot",
        "dockerd, containerd, the containers with their mounts and networks, HAProxy and the daemon are killed at "
        "once, as by a power cut. Only dockerd and the daemon are started again. The time runs from the start of "
        "the daemon, or of dockerd if that starts later, to the first response of the previously active release.",
        ("start order", "reboots", "median", "slowest"),
        (
            (
                "dockerd and the daemon together",
                str(REBOOTS),
                f"{statistics.median(first):.1f} s",
                f"{max(first):.1f} s",
            ),
            ("the daemon first, then dockerd", str(REBOOTS), f"{statistics.median(late):.1f} s", f"{max(late):.1f} s"),
        ),
        f"first response after {slowest:.1f} s in the slowest case (at most {MAX_DOWNTIME:g})",
        slowest <= MAX_DOWNTIME,
    )


def _reboot(served: Serving, engine: PrivateEngine, start: Callable[[Serving, PrivateEngine], float]) -> float:
    cut_power(served, engine)
    since = start(served, engine)
    until(lambda: try_get(served.project).startswith("sample-app 1 "), "a response of the previously active release")
    took = time.monotonic() - since
    engine.await_answer()
    wait_until_idle(served.project)
    return took


def _docker_first(served: Serving, engine: PrivateEngine) -> float:
    engine.start()
    since = time.monotonic()
    served.start()
    return since


def _docker_late(served: Serving, engine: PrivateEngine) -> float:
    count = len(served.events("reconcile.failed"))
    served.start()
    served.await_event("reconcile.failed", count + 1)
    since = time.monotonic()
    engine.start()
    return since

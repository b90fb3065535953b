"""Measure an upgrade under load: the previous version serves, the new one takes over, deploys and rolls back."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from bench.earlier import install
from bench.extent import Extent
from bench.results import Results
from pipeline.base.home import Home
from tests.docker.project import Project, until
from tests.docker.serving import Serving

# The last commit of version 0.1.0: database version 3, registry version 1.
PREVIOUS = "b491dd1"
_RATE = 150


def measure(_: Extent) -> Results:
    """One upgrade under load. Every step of it must succeed."""
    base = Path(".setup/base-image").read_text()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        installed = install(PREVIOUS, Path(folder))
        project = Project(Path(folder) / "shop", base, Home.locate({"PENSTOCK_HOME": f"{folder}/home"})).create()
        previous, served = Serving(project, PYTHONPATH=str(installed)), Serving(project)
        try:
            project.pipeline("run", PYTHONPATH=str(installed))
            with project.load(rate=_RATE, idempotent=True) as load:
                previous.start()
                project.commit("2")
                _await_release(project, 2, PYTHONPATH=str(installed))
                project.pipeline("status")
                project.pipeline("rollback", code=3)
                previous.stop()
                project.pipeline("status")
                served.start()
                project.commit("3")
                _await_release(project, 3)
                project.pipeline("rollback", "1")
                report = load.stop()
        finally:
            with suppress(subprocess.SubprocessError):
                previous.stop()
                served.stop()
            project.remove()
    sent, failed = sum(p.sent for p in report.phases), sum(p.failed for p in report.phases)
    gap = max(phase.longest_gap for phase in report.phases)
    return Results(
        "An upgrade under load",
        f"Version 0.1.0 (commit {PREVIOUS}) deploys two releases and serves. The new version looks, replaces the "
        "daemon, deploys a third release, and rolls back to the first, which the previous version made. "
        f"GETs and POSTs with an Idempotency-Key, {_RATE} per second.",
        ("requests", "lost", "longest gap"),
        ((f"{sent:,}", str(failed), f"{gap:.0f} ms"),),
        f"{failed} of {sent:,} requests lost (0)",
        failed == 0,
    )


def _await_release(project: Project, number: int, **environment: str) -> None:
    wanted = f"release {number},"
    until(lambda: wanted in project.pipeline("status", **environment).out, wanted)
    until(lambda: "succeeded" in project.pipeline("history", "-n", "1", **environment).out, "the run succeeded")

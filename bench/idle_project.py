"""A project without tests, for measurements of the daemon."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.base.home import Home
from tests.docker.project import Project

# Until the last deployment has removed its containers and the repair loop is idle.
_SETTLE_SECONDS = 5.0


@contextmanager
def idle_project(folder: Path, replicas: int) -> Iterator[Project]:
    """Yield a project with its first commit, and remove everything afterwards."""
    base, home = Path(".setup/base-image").read_text().strip(), Home.locate({"PENSTOCK_HOME": str(folder / "home")})
    project = Project(folder / "shop", base, home, replicas=replicas).create()
    try:
        project.configure(("  test: {command: [python3, -m, unittest], timeout: 30s}\n", ""))
        project.commit("1")
        yield project
    finally:
        project.remove()


def settle() -> None:
    """Wait until a daemon has nothing more to do after a run."""
    time.sleep(_SETTLE_SECONDS)

"""What all tests share: Docker, or the reason why there is none, and the order in which they take the least time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from pipeline.base.logging import write_through_logging
from tests.support.paths import ROOT
from tests.support.ports import WORKERS

# The tests start more than a thousand Pythons: none should compile anew what the one before it has.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# A shell starts what it does not wait for deaf to Ctrl-C, and so would be every command that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
# As in the daemon, so that `caplog` has what its modules write.
write_through_logging()


def _engine_answers() -> bool:
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=30, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a Docker Engine its tests are skipped; in CI that would hide that nothing was tested.

    Each worker begins with an equal share of the equally slow ones, and keeps to few modules of the others.
    """
    needing = [item for item in items if item.get_closest_marker("docker")]
    others = [item for item in items if item not in needing]
    bounds = [len(others) * worker // WORKERS for worker in range(WORKERS + 1)]
    items[:] = [
        item
        for worker in range(WORKERS)
        for item in (*needing[worker::WORKERS], *others[bounds[worker] : bounds[worker + 1]])
    ]
    if not needing or _engine_answers():
        return
    if os.environ.get("CI"):
        pytest.exit("no Docker Engine answers, and in CI its tests must run", returncode=3)
    for item in needing:
        item.add_marker(pytest.mark.skip(reason="no Docker Engine answers: make test sets one up"))


@pytest.fixture(scope="session")
def base_image() -> str:
    """The base image of the sample application, as the set-up chose it."""
    chosen = ROOT / ".setup" / "base-image"
    return os.environ.get("PENSTOCK_BASE_IMAGE") or (chosen.read_text() if chosen.exists() else "python:3.12-slim")

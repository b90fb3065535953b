"""What all tests share: Docker, or the reason why there is none."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _engine_answers() -> bool:
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=30, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a Docker Engine its tests are skipped; in CI that would hide that nothing was tested."""
    needing = [item for item in items if item.get_closest_marker("docker")]
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

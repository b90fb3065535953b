"""A home with a job for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.job_home import JobHome


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobHome]:
    """A home whose active release has the job `nightly`."""
    home = JobHome(tmp_path, monkeypatch)
    home.deploy()
    yield home
    home.close()

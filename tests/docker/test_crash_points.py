"""SIGKILL before and after side effects of each operation. `python -m tests.docker.crash_points` tries them all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.crash_operations import OPERATIONS, Trial
from tests.docker.crash_stage import Point, Stage
from tests.support.sample import FULL

pytestmark = pytest.mark.docker

# A sample of the points, so that each kind of side effect is in it: folders, the database, Docker, HAProxy, processes.
# The first of each operation is always tried, and the others in a full run.
SAMPLE = {
    "rollout": (
        Point("after", "docker.sock POST /containers/ID/start", 2),
        Point("before", "worker.sock enable server", 1),
        Point("after", "docker.sock POST /containers/ID/stop", 1),
    ),
    # Between the stored step and its share, and while the targets move home.
    "canary": (
        Point("before", "worker.sock commit map", 1),
        Point("after", "commit insert deployment_progress", 3),
        Point("after", "worker.sock commit map", 2),
        Point("before", "worker.sock set server", 9),
    ),
    "rollback": (
        Point("after", "commit insert deployments insert deployment_strategies", 1),
        Point("before", "fsync balancer/registry.json", 3),
    ),
    "renewal": (
        Point("after", "worker.sock set ssl", 1),
        Point("before", "rename balancer/certificate.ID.pem", 1),
    ),
    "down": (
        Point("after", "create balancer/unfinished", 1),
        Point("after", "signal SIGTERM", 1),
        Point("before", "docker.sock DELETE /networks/penstock-ID-shop", 1),
    ),
}


@pytest.fixture
def stage(tmp_path: Path, base_image: str) -> Iterator[Stage]:
    stage = Stage(tmp_path, base_image)
    yield stage
    stage.remove()


# `test_shifting.py` kills canaries in each run.
_LONG = ("canary",)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] if name in _LONG else []) for name in SAMPLE]
)
def test_killed_at_a_side_effect(name: str, stage: Stage) -> None:
    """No request is lost, nothing is left over, and the next command leads to the wanted state."""
    for point in SAMPLE[name] if FULL else SAMPLE[name][:1]:
        assert Trial(stage, OPERATIONS[name]).kill(point), f"{point} was not reached"

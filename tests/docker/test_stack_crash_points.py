"""SIGKILL at side effects of commands to a stack with real load balancers, networks, certificates and containers.

`python -m tests.docker.crash_points stack-create` and the others try them all. One stack goes through its whole life,
because each part of it takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.crash_stage import Point
from tests.docker.stack_crash_operations import STACK_OPERATIONS, StackTrial
from tests.docker.stack_crash_stage import StackStage

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

# In a change of the balancer, between new containers, in the rollback after half of its containers, and in a deletion
# that has left a private key.
SAMPLE = {
    "stack-create": Point("after", "fsync balancer/registry.json", 4),
    "stack-update": Point("after", "docker.sock POST /containers/ID/start", 1),
    "stack-rollback": Point("before", "docker.sock POST /containers/ID/stop", 3),
    "stack-delete": Point("after", "rename aws/certificates.json", 1),
}


@pytest.fixture
def stage(tmp_path: Path, base_image: str) -> Iterator[StackStage]:
    stage = StackStage(tmp_path, base_image)
    yield stage
    stage.remove()


def test_killed_at_a_side_effect(stage: StackStage) -> None:
    """The next process goes on or rolls back. Nothing is left over, and the events tell what has happened."""
    for name, point in SAMPLE.items():
        assert StackTrial(stage, STACK_OPERATIONS[name]).kill(point), f"{point} was not reached"

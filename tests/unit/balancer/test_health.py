"""The description of a target that is not healthy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipeline.balancer.data_plane import CheckFact, TargetFact
from pipeline.balancer.haproxy.checks import check_fact
from pipeline.balancer.health import target_health
from pipeline.balancer.model import HealthCheck, Target
from pipeline.balancer.targets import Registration


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (CheckFact("passed", passes=1), "Health checks pass again: 1 of 3 in a row"),
        (check_fact("L7OK", "200", "Layer7 check passed", passes=2), "Health checks pass again: 2 of 3 in a row"),
        (CheckFact("failed", text="Connection refused"), "Health checks failed: Connection refused"),
    ],
)
def test_a_target_on_its_way_back_is_not_said_to_fail(check: CheckFact, text: str) -> None:
    """A target that passes again, but not often enough yet, is described by its passes."""
    registration = Registration(
        target=Target(id="a", address="10.0.0.1", port=80),
        check=HealthCheck(healthy_threshold=3),
        admitted=True,
        since=datetime.now(UTC),
    )
    fact = TargetFact(admitted=True, up=False, check=check, in_flight=0, state_age=timedelta(0), endpoint="10.0.0.1:80")
    found = target_health(registration, fact, running=True, used=True, checked=True)
    assert (found.state, found.description) == ("unhealthy", text)

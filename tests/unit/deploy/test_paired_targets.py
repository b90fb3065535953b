"""The health of targets that are in the home group, in the alternate one, or in both."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipeline.balancer.model import Target, TargetHealth, TargetState
from pipeline.base.clock import Stamp
from stages.deploy.paired_targets import PairedHealth

HEALTHY, INITIAL, UNHEALTHY, DRAINING = (
    TargetState.HEALTHY,
    TargetState.INITIAL,
    TargetState.UNHEALTHY,
    TargetState.DRAINING,
)


def health(state: TargetState, in_flight: int = 1, since: int = 0) -> dict[str, TargetHealth]:
    target = Target(id="shop.web.r2.a", address="10.0.0.1", port=80)
    stamp = Stamp(datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=since), "boot", float(since))
    return {target.id: TargetHealth(target=target, state=state, in_flight=in_flight, since=stamp)}


@pytest.mark.parametrize(
    ("home", "alternate", "share", "state"),
    [
        (INITIAL, HEALTHY, 100.0, HEALTHY),
        (UNHEALTHY, HEALTHY, 10.0, HEALTHY),
        (HEALTHY, UNHEALTHY, 100.0, UNHEALTHY),
        (HEALTHY, UNHEALTHY, 0.0, HEALTHY),
        (INITIAL, HEALTHY, 0.0, INITIAL),
        (HEALTHY, DRAINING, 0.0, HEALTHY),
        (DRAINING, HEALTHY, 0.0, HEALTHY),
        (DRAINING, HEALTHY, 100.0, HEALTHY),
        (DRAINING, DRAINING, 0.0, DRAINING),
    ],
)
def test_a_target_of_both_groups(home: TargetState, alternate: TargetState, share: float, state: TargetState) -> None:
    """The group that gets requests decides. A target drains when it drains in both, and its requests are added."""
    (found,) = PairedHealth(health(home, 2), health(alternate, 3)).merged(share)
    assert (found.state, found.in_flight) == (state, 5)


@pytest.mark.parametrize("share", [0.0, 100.0])
def test_a_target_of_one_group(share: float) -> None:
    """It has its own state, whatever gets requests."""
    assert PairedHealth(health(INITIAL), {}).merged(share) == tuple(health(INITIAL).values())
    assert PairedHealth({}, health(UNHEALTHY)).merged(share) == tuple(health(UNHEALTHY).values())


@pytest.mark.parametrize(("home", "alternate"), [(5, 9), (9, 5)])
def test_a_drain_is_as_old_as_its_later_half(home: int, alternate: int) -> None:
    """A process may have died between the two groups, and requests of each have their whole delay."""
    (found,) = PairedHealth(health(DRAINING, since=home), health(DRAINING, since=alternate)).merged(0.0)
    assert found.since.seconds == 9

"""Scheduled actions: which bounds are in force."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from pipeline.scaling.bounds import Bounds, bounds_at
from tests.unit.scaling.loop import policy

BERLIN = ZoneInfo("Europe/Berlin")
SHOP = policy(
    min=2,
    max=10,
    schedule=[
        {"cron": "0 8 * * 1-5", "min": 5, "max": 20},
        {"cron": "0 20 * * *", "min": 2, "max": 8},
        {"cron": "30 12 * * *", "max": 30},
    ],
)


@pytest.mark.parametrize(
    ("time", "bounds"),
    [
        ("2026-03-02T07:59:59", Bounds(2, 8)),
        ("2026-03-02T08:00:00", Bounds(5, 20)),
        ("2026-03-02T12:29:00", Bounds(5, 20)),
        ("2026-03-02T12:30:59", Bounds(5, 30)),
        ("2026-03-02T20:00:00", Bounds(2, 8)),
        ("2026-03-07T09:00:00", Bounds(2, 8)),
    ],
)
def test_the_last_action_of_each_bound_is_in_force(time: str, bounds: Bounds) -> None:
    """Each bound is that of the last action that set it, from the first second of its minute, in local time."""
    assert bounds_at(SHOP, datetime.fromisoformat(time).replace(tzinfo=BERLIN)) == bounds


def test_actions_of_the_same_minute() -> None:
    """Of two actions of one minute, the later one in the file applies."""
    both = policy(schedule=[{"cron": "0 8 * * *", "min": 3}, {"cron": "0 8 * * *", "min": 7}])
    assert bounds_at(both, datetime(2026, 3, 2, 9, tzinfo=BERLIN)) == Bounds(7, 100)


def test_a_rare_action() -> None:
    """An action of 29 February is in force until another one, also two years later."""
    rare = policy(schedule=[{"cron": "0 8 29 2 *", "min": 3}])
    assert bounds_at(rare, datetime(2026, 3, 2, 9, tzinfo=BERLIN)) == Bounds(3, 100)


def test_the_hour_that_summer_time_skips() -> None:
    """An action in the hour that is missing in spring applies after it."""
    night = policy(schedule=[{"cron": "30 2 * * *", "min": 3}, {"cron": "0 1 * * *", "min": 9}])
    assert bounds_at(night, datetime(2026, 3, 29, 1, 59, tzinfo=BERLIN)).least == 9
    assert bounds_at(night, datetime(2026, 3, 29, 4, 0, tzinfo=BERLIN)).least == 3

"""Cron expressions in local time, across suspend, changes of daylight saving time and clock corrections."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.triggers.schedule import DueTime, Schedule

BERLIN = ZoneInfo("Europe/Berlin")
# On 2026-03-29 at 2:00 it is 3:00 there; on 2026-10-25 at 3:00 it is 2:00 again.


def berlin(text: str, fold: int = 0) -> datetime:
    """Return a wall time in Berlin."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold)


def moments(expression: str, since: datetime, until: datetime) -> list[str]:
    """Return every due time in UTC, for a caller that checks at each one."""
    schedule, due = Schedule((expression,), BERLIN, since), []
    while (moment := schedule.next()) and moment.at <= until:
        schedule, found = schedule.advance(moment.at)
        assert found == moment
        due.append(f"{moment.at:%d %H:%M}")
    return due


def test_the_next_due_time_names_its_expression() -> None:
    """The earliest due time is next, and of two at the same time the first in the list is named."""
    schedule = Schedule(("0 6 * * *", "30 4 * * *", "30 4 * * 2"), BERLIN, berlin("2026-11-24 01:00"))
    assert schedule.next() == DueTime(datetime(2026, 11, 24, 3, 30, tzinfo=UTC), "30 4 * * *")


def test_a_due_time_is_returned_once() -> None:
    """A due time is returned once, and not before it has come."""
    schedule = Schedule(("30 4 * * *",), BERLIN, berlin("2026-11-24 01:00"))
    schedule, moment = schedule.advance(berlin("2026-11-24 04:29:59"))
    assert moment is None
    schedule, moment = schedule.advance(berlin("2026-11-24 04:30:00"))
    assert moment == DueTime(datetime(2026, 11, 24, 3, 30, tzinfo=UTC), "30 4 * * *")
    schedule, moment = schedule.advance(berlin("2026-11-24 04:30:00"))
    assert moment is None
    assert schedule.next() == DueTime(datetime(2026, 11, 25, 3, 30, tzinfo=UTC), "30 4 * * *")


@pytest.mark.parametrize(
    ("expression", "days"),
    [
        ("0 0 1 * 1", [1, 7, 14, 21, 28]),
        ("0 0 1-31 * 1", [*range(1, 32)]),
        ("0 0 */2 * 1", [7, 21]),
        ("0 0 10-16 * */7", [13]),
        ("0 0 * * 7", [6, 13, 20, 27]),
    ],
)
def test_days(expression: str, days: list[int]) -> None:
    """Of two days, either is enough, unless one of them begins with an asterisk. Then both have to match."""
    schedule = Schedule((expression,), UTC, datetime(2026, 11, 30, 12, tzinfo=UTC))
    assert [due.day for due in schedule.passed(datetime(2026, 12, 31, 12, tzinfo=UTC), 100)] == days


@pytest.mark.parametrize("expressions", [("* * * * *",), ("0 * * * *", "*/5 * * * *", "0 0 * * *")])
def test_one_due_time_after_a_long_suspend(expressions: tuple[str, ...]) -> None:
    """After a month of suspend, one due time is returned, and the next is in the future."""
    schedule, now = Schedule(expressions, BERLIN, berlin("2026-11-01 00:00")), berlin("2026-12-01 00:00:30")
    schedule, moment = schedule.advance(now)
    assert moment is not None
    schedule, again = schedule.advance(now)
    assert again is None
    following = schedule.next()
    assert following is not None
    assert following.at > now.astimezone(UTC)


def test_what_falls_into_the_missing_hour_is_due_after_it() -> None:
    """In spring, a schedule at 2:30 is due once, at 3:00."""
    assert moments("30 2 * * *", berlin("2026-03-28 12:00"), berlin("2026-03-30 12:00")) == ["29 01:00", "30 00:30"]


def test_what_falls_into_the_double_hour_is_due_once() -> None:
    """In autumn, a schedule at 2:30 is due at the first 2:30 only."""
    assert moments("30 2 * * *", berlin("2026-10-24 12:00"), berlin("2026-10-26 12:00")) == ["25 00:30", "26 01:30"]


def test_what_is_due_every_half_hour_is_due_every_half_hour() -> None:
    """Changes of daylight saving time make no gap and no duplicate in a half-hourly schedule."""
    spring = moments("*/30 * * * *", berlin("2026-03-29 01:00"), berlin("2026-03-29 04:00"))
    assert spring == ["29 00:30", "29 01:00", "29 01:30", "29 02:00"]
    autumn = moments("*/30 * * * *", berlin("2026-10-25 01:30"), berlin("2026-10-25 03:00"))
    assert autumn == ["25 00:00", "25 00:30", "25 01:00", "25 01:30", "25 02:00"]


def test_a_wake_up_in_the_repeated_hour() -> None:
    """A missed first 2:30 is due on wake-up at the second 2:10, and not again at 2:30."""
    schedule = Schedule(("30 2 * * *",), BERLIN, berlin("2026-10-25 02:20"))
    schedule, moment = schedule.advance(berlin("2026-10-25 02:10", fold=1))
    assert moment == DueTime(datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "30 2 * * *")
    assert schedule.next() == DueTime(datetime(2026, 10, 26, 1, 30, tzinfo=UTC), "30 2 * * *")


def test_a_corrected_clock_makes_nothing_due_twice() -> None:
    """A clock that is set back by a little makes nothing due twice."""
    schedule = Schedule(("30 4 * * *",), BERLIN, berlin("2026-11-24 01:00"))
    schedule, moment = schedule.advance(berlin("2026-11-24 04:30:01"))
    assert moment is not None
    for time in ("04:29:50", "04:30:00", "04:30:01", "04:31:00"):
        schedule, moment = schedule.advance(berlin(f"2026-11-24 {time}"))
        assert moment is None


def test_a_clock_that_was_wrong_does_not_stop_the_schedule() -> None:
    """After a clock is set back by a year, the schedule continues from the new time."""
    schedule = Schedule(("30 4 * * *",), BERLIN, berlin("2027-11-24 01:00"))
    schedule, moment = schedule.advance(berlin("2026-11-24 01:00"))
    assert moment is None
    schedule, moment = schedule.advance(berlin("2026-11-24 04:30"))
    assert moment is not None


# Each group means the same times.
EQUAL = [
    ("0 * * * *", "0 0-23 * * *", "0 */1 * * *", "0 0-11,12-23 * * *", "00 * * * *"),
    ("*/30 2 * * *", "0,30 2 * * *", "0/30 2-2 * * *", "0,30 02 * * *"),
    ("30 */2 * * *", "30 0-22/2 * * *", "30 0,2,4,6,8,10,12,14,16,18,20,22 * * *"),
    ("* 2 * * *", "0-59 2 * * *", "*/1 2 * * *"),
    ("*/20 * * * *", "0,20,40 0-23 * * *", "0-40/20 */1 * * *"),
    ("15 1,2,3 * * *", "15 1-3 * * *", "15 3,2,1 * * *"),
]
CHANGES = [
    (BERLIN, "2026-03-29"),
    (BERLIN, "2026-10-25"),
    (ZoneInfo("America/New_York"), "2026-03-08"),
    (ZoneInfo("America/New_York"), "2026-11-01"),
    (ZoneInfo("America/Havana"), "2026-03-08"),  # From 0:00 to 1:00: the day has no midnight.
    (ZoneInfo("America/Havana"), "2026-11-01"),
    (ZoneInfo("Australia/Lord_Howe"), "2026-10-04"),  # By half an hour.
    (ZoneInfo("Australia/Lord_Howe"), "2026-04-05"),
    (ZoneInfo("UTC"), "2026-03-29"),
]


def around(expression: str, zone: ZoneInfo, day: str) -> list[datetime]:
    """Return every due time on a day, the day before and the day after, for a caller that checks at each one."""
    since = datetime.fromisoformat(day).replace(tzinfo=zone).astimezone(UTC) - timedelta(days=1)
    schedule, due = Schedule((expression,), zone, since), []
    while (moment := schedule.next()) and moment.at < since + timedelta(days=3):
        schedule, _ = schedule.advance(moment.at)
        due.append(moment.at)
    return due


@pytest.mark.parametrize(("zone", "day"), CHANGES)
@pytest.mark.parametrize("expressions", EQUAL)
def test_equal_schedules_are_due_at_equal_times(expressions: tuple[str, ...], zone: ZoneInfo, day: str) -> None:
    """However they are written, also when the clocks change."""
    first, *others = [around(expression, zone, day) for expression in expressions]
    assert first
    assert all(other == first for other in others)


@pytest.mark.parametrize(("zone", "day"), CHANGES)
def test_an_hourly_schedule_is_due_every_hour(zone: ZoneInfo, day: str) -> None:
    """A change of the clocks makes no gap longer than an hour and a half, and nothing is due twice."""
    due = around("0 0-23 * * *", zone, day)
    gaps = [later - earlier for earlier, later in pairwise(due)]
    assert all(timedelta(minutes=30) <= gap <= timedelta(hours=1, minutes=30) for gap in gaps)


@pytest.mark.parametrize(("zone", "day"), CHANGES)
@pytest.mark.parametrize("hour", range(5))
@pytest.mark.parametrize("minute", ["10", "*/30", "40"])
def test_a_schedule_for_an_hour_is_due_each_day(zone: ZoneInfo, day: str, hour: int, minute: str) -> None:
    """Also on a day without that hour, and once on a day that has it twice."""
    due = [at.astimezone(zone) for at in around(f"{minute} {hour} * * *", zone, day)]
    days = Counter(at.date() for at in due if at.date() < datetime.fromisoformat(day).date() + timedelta(days=2))
    most = 2 if minute == "*/30" else 1
    assert len(days) >= 3
    assert all(1 <= count <= most for count in list(days.values())[:3])


def test_a_due_time_of_several_expressions_rebuilds_if_one_does() -> None:
    """It leads to one run, which must not leave the tests out. The same holds after a suspend."""
    rebuilds = frozenset({"0 4 * * 0"})
    expressions = ("0 4 * * *", "0 4 * * 0")
    schedule = Schedule(expressions, BERLIN, berlin("2026-11-20 12:00"), rebuilds)
    schedule, saturday = schedule.advance(berlin("2026-11-21 04:00"))
    assert saturday is not None
    assert not saturday.rebuild
    schedule, sunday = schedule.advance(berlin("2026-11-22 04:00"))
    assert sunday == DueTime(datetime(2026, 11, 22, 3, tzinfo=UTC), "0 4 * * *", rebuild=True)
    schedule, slept = schedule.advance(berlin("2026-12-01 12:00"))
    assert slept is not None
    assert slept.rebuild


def test_a_due_time_of_several_expressions_has_all_their_options() -> None:
    """One run does what each of them wants."""
    schedule = Schedule(
        ("0 4 * * *", "0 4 * * 0", "0 4 * * 1"),
        BERLIN,
        berlin("2026-11-20 12:00"),
        pulls=frozenset({"0 4 * * 0"}),
        uncached=frozenset({"0 4 * * 1"}),
    )
    schedule, sunday = schedule.advance(berlin("2026-11-22 04:00"))
    assert sunday is not None
    assert (sunday.rebuild, sunday.pull, sunday.no_cache) == (False, True, False)
    _, slept = schedule.advance(berlin("2026-12-01 12:00"))
    assert slept is not None
    assert (slept.rebuild, slept.pull, slept.no_cache) == (False, True, True)


def test_no_expression_is_never_due() -> None:
    """Without expressions nothing is ever due."""
    schedule = Schedule((), BERLIN, berlin("2026-11-24 01:00"))
    assert schedule.next() is None
    assert schedule.advance(berlin("2027-11-24 01:00"))[1] is None


@given(
    minutes=st.integers(0, 365 * 24 * 60),
    slept=st.timedeltas(timedelta(0), timedelta(days=3)),
    expression=st.sampled_from(["30 2 * * *", "*/7 * * * *", "0 * * * *", "15 1,2,3 * * *", "0 3 * * 0"]),
)
def test_a_check_returns_what_has_passed(minutes: int, slept: timedelta, expression: str) -> None:
    """Something is due exactly if a due time lies after the last check and not after this one."""
    began = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)).astimezone(BERLIN)
    now = (began.astimezone(UTC) + slept).astimezone(BERLIN)
    schedule, expected = Schedule((expression,), BERLIN, began), Schedule((expression,), BERLIN, began).next()
    assert expected is not None
    assert expected.at > began.astimezone(UTC)
    schedule, moment = schedule.advance(now)
    assert moment == (expected if expected.at <= now.astimezone(UTC) else None)
    assert schedule.advance(now)[1] is None


@given(
    days=st.sampled_from([86, 87, 88, 296, 297, 298]),
    minutes=st.integers(0, 24 * 60),
    slept=st.timedeltas(timedelta(0), timedelta(days=2)),
    expression=st.sampled_from(["30 2 * * *", "*/7 * * * *", "0 * * * *", "15 1,2,3 * * *", "0 0-23 * * *"]),
    limit=st.integers(1, 400),
)
def test_all_times_that_have_passed(days: int, minutes: int, slept: timedelta, expression: str, limit: int) -> None:
    """They are those that a caller finds who checks at each one, also where the clocks change."""
    began = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=days, minutes=minutes)
    passed = Schedule((expression,), BERLIN, began).passed(began + slept, limit)
    assert [f"{at:%d %H:%M}" for at in passed] == moments(expression, began, began + slept)[:limit]


def test_times_of_several_expressions() -> None:
    """A time at which two of them are due is one."""
    schedule = Schedule(("0 * * * *", "0,30 4 * * *"), BERLIN, berlin("2026-11-24 03:30"))
    passed = schedule.passed(berlin("2026-11-24 05:00"), 10)
    assert [f"{at.astimezone(BERLIN):%H:%M}" for at in passed] == ["04:00", "04:30", "05:00"]
    assert len(schedule.passed(berlin("2026-11-24 05:00"), 2)) == 2

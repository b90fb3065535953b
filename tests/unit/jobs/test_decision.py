"""The decision about a job's times: none is run twice, and none is dropped without a report."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.jobs.decision import Decision, Skipped, decide, next_time
from pipeline.triggers.schedule import Schedule
from tests.support.sample import sampled

START = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def schedule(expression: str, since: datetime = START, zone: str = "UTC") -> Schedule:
    """Return a schedule that is handled up to `since`."""
    return Schedule((expression,), ZoneInfo(zone), since)


def at(hour: int, minute: int = 0, day: int = 1) -> datetime:
    """Return a time of March 2026."""
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


def decided(
    expression: str, now: datetime, *, is_running: bool = False, was_stopped: bool = False, since: datetime = START
) -> Decision:
    """Return the decision about a schedule."""
    return decide(schedule(expression, since), now, is_running=is_running, was_stopped=was_stopped)


def test_a_time_that_has_come_is_run() -> None:
    """And not before. The times up to now are handled then."""
    assert decided("0 3 * * *", at(2, 59)) == Decision(at(2, 59))
    assert decided("0 3 * * *", at(3)) == Decision(at(3), at(3))
    assert decided("0 3 * * *", at(3, 1), since=at(3)) == Decision(at(3, 1))


def test_a_time_while_the_job_runs_is_skipped() -> None:
    """With its reason."""
    skipped = Skipped(at(3), at(3), 1, "its previous run has not ended")
    assert decided("0 3 * * *", at(3), is_running=True) == Decision(at(3), None, skipped)


def test_times_that_passed_without_a_daemon_are_missed() -> None:
    """None of it is run, as by the schedule of runs, and all of it is reported."""
    skipped = Skipped(at(3), at(5), 3, "`pipeline serve` did not run")
    assert decided("0 * * * *", at(5, 30), was_stopped=True) == Decision(at(5, 30), None, skipped)


def test_one_run_stands_for_the_times_of_a_suspend() -> None:
    """It is late, and the others are reported."""
    skipped = Skipped(at(4), at(5), 2, "a later run stands for it")
    assert decided("0 * * * *", at(5, 30)) == Decision(at(5, 30), at(3), skipped)


def test_more_times_than_are_counted_are_all_reported() -> None:
    """The end of what is skipped is then the time up to which all is handled."""
    found = decided("* * * * *", at(2, 30, day=3), was_stopped=True).skipped
    assert found is not None
    assert (found.first, found.last, found.count) == (at(2, 31), at(2, 30, day=3), 1000)
    assert "not run 1000 or more times, first at " in found.describe()


def test_a_corrected_clock_makes_nothing_due_twice() -> None:
    """Set back by up to an hour, the schedule waits. Set back by more, it was wrong before and begins anew."""
    assert decided("0 * * * *", at(4, 10), since=at(5)) == Decision(at(5))
    assert decided("0 * * * *", at(3, 59), since=at(5)) == Decision(at(3, 59))


@pytest.mark.parametrize(
    ("skipped", "text"),
    [
        (Skipped(START, START, 1, "why"), "not run at {}: why"),
        (Skipped(START, START, 3, "why"), "not run 3 times, first at {}: why"),
    ],
)
def test_words_of_what_is_skipped(skipped: Skipped, text: str) -> None:
    """One time is named, and of several the first."""
    assert skipped.describe() == text.format(f"{START.astimezone():%Y-%m-%d %H:%M}")


def test_the_next_time_is_in_the_zone_of_the_job() -> None:
    """Also across the change of the clocks. A clock that was set back waits for what is handled."""
    berlin = schedule("30 2 * * *", datetime(2026, 3, 28, 12, tzinfo=UTC), "Europe/Berlin")
    # On 29 March, 2:30 is missing, and the time moves to the end of the missing hour.
    assert next_time(berlin, datetime(2026, 3, 28, 12, tzinfo=UTC)) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert next_time(schedule("0 * * * *", at(5)), at(4, 30)) == at(6)


@dataclass
class Daemon:
    """The loop around the decision, with a store that survives a kill. Time passes in minutes."""

    minutes: frozenset[int]
    hours: frozenset[int]
    now: datetime = START
    stored: datetime = START
    is_first: bool = False
    running_for: timedelta = timedelta(0)
    runs: list[datetime] = field(default_factory=list)
    reported: list[Skipped] = field(default_factory=list)
    handled: list[Skipped] = field(default_factory=list)
    """What was run or reported since the clock was wrong."""

    def step(self, duration: timedelta, kill: str) -> None:
        """Decide once. `kill` says whether the daemon is killed before or after its decision is stored."""
        expression = f"{','.join(map(str, sorted(self.minutes)))} {','.join(map(str, sorted(self.hours)))} * * *"
        decision = decide(
            schedule(expression, self.stored),
            self.now,
            is_running=self.running_for > timedelta(0),
            was_stopped=self.is_first,
        )
        self.is_first = kill != ""
        if decision.due:
            assert not any(each.first <= decision.due <= each.last for each in self.handled)
        if decision.skipped:
            self.reported.append(decision.skipped)
        if kill == "before":
            return
        self.handled += [decision.skipped] if decision.skipped else []
        if decision.due:
            self.runs.append(decision.due)
            self.handled.append(Skipped(decision.due, decision.due, 1, "run"))
            self.running_for = duration
        if decision.due or decision.skipped or decision.since < self.stored:
            self.stored = decision.since

    def wait(self, by: timedelta) -> None:
        """Let time pass."""
        self.now += by
        self.running_for = max(timedelta(0), self.running_for - by)

    def is_due(self, moment: datetime) -> bool:
        """Return whether the schedule means a time, by its fields alone."""
        return moment.minute in self.minutes and moment.hour in self.hours

    def is_reported(self, moment: datetime) -> bool:
        """Return whether a time was run, or reported as skipped."""
        return moment in self.runs or any(each.first <= moment <= each.last for each in self.reported)


ACTIONS = st.lists(
    st.tuples(
        # Minutes that pass until the next look, as in a suspend, and by which the clock is set.
        st.one_of(st.integers(1, 5), st.integers(1, 300)),
        st.one_of(st.just(0), st.integers(-60, -1), st.integers(1, 60), st.integers(-300, 300)),
        st.one_of(st.just(0), st.integers(0, 200)),
        st.sampled_from(["", "", "", "before", "after"]),
    ),
    max_size=25,
)


# Often enough that the clock is set back over times that have just come.
MINUTES = st.one_of(st.just(frozenset(range(0, 60, 5))), st.frozensets(st.integers(0, 59), min_size=1, max_size=6))
HOURS = st.one_of(st.just(frozenset(range(24))), st.frozensets(st.integers(0, 23), min_size=1))


@given(MINUTES, HOURS, ACTIONS)
@settings(max_examples=sampled(1000), deadline=None)
def test_no_time_is_run_twice_and_none_is_dropped_silently(
    minutes: frozenset[int], hours: frozenset[int], actions: list[tuple[int, int, int, str]]
) -> None:
    """Over schedules, suspends, set clocks, kills and long runs. Only a clock set back by over an hour repeats a time.

    A time that the clock jumps over counts as well.
    """
    daemon = Daemon(minutes, hours)
    latest = START
    for passed, correction, duration, kill in actions:
        daemon.wait(passed * MINUTE)
        daemon.now += correction * MINUTE
        if daemon.now < latest - HOUR:
            # The clock was wrong before. What ran by it does not count.
            daemon.handled.clear()
        daemon.step(duration * MINUTE, kill)
        latest = max(latest, daemon.now) if daemon.now >= latest - HOUR else daemon.now
        assert all(daemon.is_due(moment) for moment in daemon.runs)
    # The daemon looks once more, at a time that is later than any before.
    daemon.now = max(daemon.now, latest) + MINUTE
    daemon.step(timedelta(0), "")
    moment = START + MINUTE
    while moment <= min(daemon.now, START + timedelta(days=3)):
        assert not daemon.is_due(moment) or daemon.is_reported(moment), moment
        moment += MINUTE

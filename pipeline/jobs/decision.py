"""What follows from a job's schedule at one moment (pure): which time is run, and which ones are skipped."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pipeline.triggers.schedule import Schedule

_MAX_COUNTED = 1000


@dataclass(frozen=True)
class Skipped:
    """Times of a schedule that are not run: all from `first` to `last`. `count` is at most 1,000."""

    first: datetime
    last: datetime
    count: int
    reason: str

    def describe(self) -> str:
        """Return the sentence that reports them, without the job's name."""
        first = f"{self.first.astimezone():%Y-%m-%d %H:%M}"
        if self.count == 1:
            return f"not run at {first}: {self.reason}"
        more = " or more" if self.count == _MAX_COUNTED else ""
        return f"not run {self.count}{more} times, first at {first}: {self.reason}"


@dataclass(frozen=True)
class Decision:
    """What to do now. All times up to `since` are then handled. `due` is the time to run, if any."""

    since: datetime
    due: datetime | None = None
    skipped: Skipped | None = None


def decide(schedule: Schedule, now: datetime, *, is_running: bool, was_stopped: bool) -> Decision:
    """Return what follows from the times that have passed since the last decision.

    `was_stopped`: no daemon has run since then, so times that have passed are missed. Otherwise the first time
    is run, however late: after a suspend, a single run stands for all times that passed. While the job runs, each time
    is skipped. A clock that was set back makes no time due twice, unless by more than an hour: it was wrong before.
    """
    now = now.astimezone(UTC)
    since = schedule.advance(now)[0].since.astimezone(UTC)
    passed = schedule.passed(now, _MAX_COUNTED) if since > schedule.since.astimezone(UTC) else []
    if not passed:
        return Decision(since)
    if was_stopped:
        return Decision(since, None, _skipped(passed, since, "`pipeline serve` did not run"))
    if is_running:
        return Decision(since, None, _skipped(passed, since, "its previous run has not ended"))
    rest = passed[1:]
    return Decision(since, passed[0], _skipped(rest, since, "a later run stands for it") if rest else None)


def next_time(schedule: Schedule, now: datetime) -> datetime | None:
    """Return the next time of a schedule after now, in UTC. None if there is none."""
    due = replace(schedule, since=max(now.astimezone(UTC), schedule.since.astimezone(UTC))).next()
    return due.at if due else None


def _skipped(times: list[datetime], until: datetime, reason: str) -> Skipped:
    return Skipped(times[0], until if len(times) == _MAX_COUNTED else times[-1], len(times), reason)

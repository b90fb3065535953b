"""Schedules: due times of cron expressions in local time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from itertools import chain, islice, takewhile

from cronsim import CronSim

# A clock that is set back by less was corrected, and nothing becomes due twice. Set back by more, it was wrong before,
# so the schedule restarts from the new time.
_MAX_CORRECTION = timedelta(hours=1)
_HOURS = 24


@dataclass(frozen=True, order=True)
class DueTime:
    """A due time and its cron expression. `at` is in UTC. `rebuild`, `pull` and `no_cache` are those of its run."""

    at: datetime
    expression: str
    rebuild: bool = False
    pull: bool = False
    no_cache: bool = False


@dataclass(frozen=True)
class Schedule:
    """Cron expressions, and the time up to which they have been checked (`since`, with its time zone).

    Similar to Debian's cron, a due time in the missing hour in spring moves to the end of that hour. A due time in the
    repeated hour in autumn is due the first time only. An expression for every hour of the day is due at every one.
    This depends on the times that an expression means, not on how they are written. The runs of the expressions in
    `rebuilds` build and test again, those in `pulls` pull images again, and those in `uncached` use no cache.
    """

    expressions: tuple[str, ...]
    zone: tzinfo
    since: datetime
    rebuilds: frozenset[str] = frozenset()
    pulls: frozenset[str] = frozenset()
    uncached: frozenset[str] = frozenset()

    def next(self) -> DueTime | None:
        """Return the first due time after `since`, or None. If several expressions match it, the first is named."""
        return min(self._firsts(), key=lambda due: due.at, default=None)

    def advance(self, now: datetime) -> tuple[Schedule, DueTime | None]:
        """Return the schedule after `now`, and the due time that has passed, if any.

        If several due times have passed since the last check, as after a suspend, only the first is returned. Its run
        has the options of all of them.
        """
        # Compare in UTC: two times of one zone compare by wall clock, which goes back in autumn.
        now, since = now.astimezone(UTC), self.since.astimezone(UTC)
        if now < since:
            return (replace(self, since=now) if since - now > _MAX_CORRECTION else self), None
        passed = [due for due in self._firsts() if due.at <= now]
        first = min(passed, key=lambda due: due.at, default=None)
        return replace(self, since=now), first and replace(
            first,
            rebuild=any(due.rebuild for due in passed),
            pull=any(due.pull for due in passed),
            no_cache=any(due.no_cache for due in passed),
        )

    def passed(self, now: datetime, limit: int) -> list[datetime]:
        """Return the due times after `since` up to `now` in UTC, oldest first, and the first `limit` if there are more.

        A time at which several expressions are due is one.
        """
        now = now.astimezone(UTC)
        parts = (
            islice((due.at for due in takewhile(lambda due: due.at <= now, self._due_times(each))), limit)
            for each in self.expressions
        )
        return sorted(set(chain.from_iterable(parts)))[:limit]

    def _firsts(self) -> list[DueTime]:
        """Return the first due time of each expression after `since`."""
        return [due for expression in self.expressions if (due := next(self._due_times(expression), None))]

    def _due_times(self, expression: str) -> Iterator[DueTime]:
        after = self.since.astimezone(UTC)
        for local in CronSim(_canonical(expression), self.since.astimezone(self.zone)):
            # In the second pass of the repeated hour, cronsim yields the due times of the first.
            if (at := local.astimezone(UTC)) > after:
                options = (expression in group for group in (self.rebuilds, self.pulls, self.uncached))
                yield DueTime(at, expression, *options)


@cache
def _canonical(expression: str) -> str:
    """Return an expression for the same times, so that equal ones behave equally when the clocks change.

    Cronsim detects an hourly expression by its asterisks. To it, `0 0-23 * * *` would not be hourly, and `*/30 2 * * *`
    would be.
    """
    parsed = CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC))
    minutes = ",".join(map(str, sorted(parsed.minutes)))
    hours = "*" if len(parsed.hours) == _HOURS else ",".join(map(str, sorted(parsed.hours)))
    return " ".join((minutes, hours, *parsed.parts[3:]))

"""Schedules: due times of cron expressions in local time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from cronsim import CronSim

from pipeline.base.errors import ConfigError

# A clock that is set back by less was corrected, and nothing becomes due twice. Set back by more, it was wrong before,
# so the schedule restarts from the new time.
_MAX_CORRECTION = timedelta(hours=1)


@dataclass(frozen=True, order=True)
class DueTime:
    """A due time and its cron expression. `at` is in UTC."""

    at: datetime
    expression: str


@dataclass(frozen=True)
class Schedule:
    """Cron expressions, and the time up to which they have been checked (`since`, with its time zone).

    As in Debian's cron, a due time in the missing hour in spring moves to the end of that hour. A due time in the
    repeated hour in autumn is due the first time only. Hourly and minutely expressions are due at every one.
    """

    expressions: tuple[str, ...]
    zone: tzinfo
    since: datetime

    def next(self) -> DueTime | None:
        """Return the first due time after `since`, or None. If several expressions match it, the first is named."""
        firsts = [due for expression in self.expressions if (due := next(self._due_times(expression), None))]
        return min(firsts, key=lambda due: due.at, default=None)

    def advance(self, now: datetime) -> tuple[Schedule, DueTime | None]:
        """Return the schedule after `now`, and the due time that has passed, if any.

        If several due times have passed since the last check, as after a suspend, only the first is returned.
        """
        # Compare in UTC: two times of one zone compare by wall clock, which goes back in autumn.
        now, since = now.astimezone(UTC), self.since.astimezone(UTC)
        if now < since:
            return (replace(self, since=now) if since - now > _MAX_CORRECTION else self), None
        due = self.next()
        return replace(self, since=now), due if due and due.at <= now else None

    def _due_times(self, expression: str) -> Iterator[DueTime]:
        after = self.since.astimezone(UTC)
        for local in CronSim(expression, self.since.astimezone(self.zone)):
            # In the second pass of the repeated hour, cronsim yields the due times of the first.
            if (at := local.astimezone(UTC)) > after:
                yield DueTime(at, expression)


def local_zone() -> tzinfo:
    """Return the time zone of TZ, else of /etc/localtime, else UTC. Raises `ConfigError` for an unknown TZ."""
    named = os.environ.get("TZ", "").removeprefix(":")
    path = Path(named if named.startswith("/") else "/etc/localtime")
    try:
        if named and named != str(path):
            return ZoneInfo(named)
        with path.open("rb") as file:
            return ZoneInfo.from_file(file, key=named or "local time")
    except (OSError, ValueError, KeyError) as error:
        if named:
            raise ConfigError(f"TZ={named} is not a valid time zone", hint="TZ=Europe/Berlin") from error
        return UTC

"""Schedules: the moments that cron expressions name in local time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from cronsim import CronSim

from pipeline.base.errors import ConfigError

# Set back by less, a clock was corrected, and what was due is not due again. By more, it was wrong: we start afresh.
_CORRECTION = timedelta(hours=1)


@dataclass(frozen=True, order=True)
class DueTime:
    """When a schedule is due, and by which expression. `at` is in UTC."""

    at: datetime
    expression: str


@dataclass(frozen=True)
class Schedule:
    """Cron expressions, and until when they were looked at (`since`, with its time zone).

    As in Debian's cron, what falls into the hour that a zone leaves out in spring is due right after it, and what falls
    into the hour that it has twice in autumn is due the first time only; but what is due every hour or minute is due
    whenever the hour or minute comes.
    """

    expressions: tuple[str, ...]
    zone: tzinfo
    since: datetime

    def next(self) -> DueTime | None:
        """The first moment after `since`, or None. When several expressions name it, the first of them is meant."""
        firsts = [moment for expression in self.expressions if (moment := next(self._moments(expression), None))]
        return min(firsts, key=lambda moment: moment.at, default=None)

    def advance(self, now: datetime) -> tuple[Schedule, DueTime | None]:
        """What is due at `now`, and the schedule to go on with.

        However many moments have passed since the last look, because the machine slept, one is due: the first.
        """
        # In UTC: two times of one zone are compared by what the clock on the wall says, which goes back in autumn.
        now, since = now.astimezone(UTC), self.since.astimezone(UTC)
        if now < since:
            return (replace(self, since=now) if since - now > _CORRECTION else self), None
        moment = self.next()
        return replace(self, since=now), moment if moment and moment.at <= now else None

    def _moments(self, expression: str) -> Iterator[DueTime]:
        after = self.since.astimezone(UTC)
        for local in CronSim(expression, self.since.astimezone(self.zone)):
            # In the second pass of an hour that comes twice, cronsim names what was due in the first.
            if (at := local.astimezone(UTC)) > after:
                yield DueTime(at, expression)


def local_zone() -> tzinfo:
    """The machine's time zone: that of TZ, else of /etc/localtime, else UTC. Raises `ConfigError` for a TZ unknown."""
    named = os.environ.get("TZ", "").removeprefix(":")
    path = Path(named if named.startswith("/") else "/etc/localtime")
    try:
        if named and named != str(path):
            return ZoneInfo(named)
        with path.open("rb") as file:
            return ZoneInfo.from_file(file, key=named or "local time")
    except (OSError, ValueError, KeyError) as error:
        if named:
            raise ConfigError(f"TZ={named} names no time zone", hint="write one such as TZ=Europe/Berlin") from error
        return UTC

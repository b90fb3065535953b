"""Cron expressions in configuration files."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator

_FIELDS = 5
_ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC)


def _cron(value: str) -> str:
    from cronsim import CronSim, CronSimError

    try:
        # Cronsim also takes a field of seconds in front, which would shift the meaning of the others.
        if len(value.split()) != _FIELDS:
            raise CronSimError("Wrong number of fields")
        CronSim(value, _ANY_TIME)
    except CronSimError as error:
        raise ValueError(f"{value!r} is not a valid cron expression ({error}); write five fields: 0 4 * * *") from None
    return value


Cron = Annotated[str, AfterValidator(_cron)]
"""A valid expression of five fields."""

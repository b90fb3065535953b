"""Names of time zones in pipeline.yaml."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (OSError, ValueError, KeyError):
        raise ValueError(f"{value!r} is not a time zone of this machine; write a name such as Europe/Berlin") from None
    return value


TimeZoneName = Annotated[str, AfterValidator(_time_zone)]

"""Names of time zones in pipeline.yaml."""

from __future__ import annotations

from datetime import tzinfo
from typing import Annotated

from pydantic import AfterValidator

from pipeline.base.errors import ConfigError


def find_zone(name: str) -> tzinfo:
    """Return a time zone by its IANA name. Raises `ConfigError` if this machine does not have it."""
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ConfigError(_unknown_zone(name)) from None


def _unknown_zone(name: str) -> str:
    from zoneinfo import available_timezones

    from pipeline.base.suggestion import nearest

    near = nearest(name, available_timezones())
    instead = f"did you mean {near}?" if near else "write an IANA name, such as Europe/Berlin"
    return f"{name!r} is not a time zone of this machine; {instead}"


def _time_zone(value: str) -> str:
    try:
        find_zone(value)
    except ConfigError as error:
        raise ValueError(error.message) from None
    return value


TimeZone = Annotated[str, AfterValidator(_time_zone)]

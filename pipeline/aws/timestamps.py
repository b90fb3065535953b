"""Points in time on the wire."""

from __future__ import annotations

from datetime import UTC, datetime


def parse_timestamp(value: str | float) -> datetime:
    """Return the time of an ISO 8601 text or of a number of seconds since 1970. Raises `ValueError`.

    A time without an offset is in UTC.
    """
    if isinstance(value, str) and not value.replace(".", "", 1).isdecimal():
        found = datetime.fromisoformat(value)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except (OverflowError, OSError) as error:
        raise ValueError(str(error)) from None


def iso_timestamp(time: datetime) -> str:
    """Return an aware time as AWS prints it in XML, in UTC and with milliseconds."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

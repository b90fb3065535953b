"""Times on pages. The server writes the time, and the browser counts what has passed since."""

from __future__ import annotations

from datetime import UTC, datetime

from markupsafe import Markup

_MOMENT = Markup('<time datetime="{}">{} UTC</time>')
_SINCE = Markup('<time datetime="{}" data-since="">since {} UTC</time>')


def moment(at: datetime) -> Markup:
    """Return a time. The browser shows it in the user's time zone."""
    there = at.astimezone(UTC)
    return _MOMENT.format(there.isoformat(timespec="milliseconds"), f"{there:%Y-%m-%d %H:%M:%S}")


def since(at: datetime) -> Markup:
    """Return the begin of something that goes on. The browser shows how long it has gone on."""
    there = at.astimezone(UTC)
    return _SINCE.format(there.isoformat(timespec="milliseconds"), f"{there:%Y-%m-%d %H:%M:%S}")

"""The pause that a server requests in the headers of an error response."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from pipeline.base.whole_number import whole_number

# Smaller numbers are seconds from now, as in the draft of the IETF, larger ones Unix time, as at GitHub and GitLab.
_UNIX_TIME = 10**8
# GitHub's advice for a limit without any header.
_UNKNOWN_PAUSE = 60.0


def requested_pause(headers: Mapping[str, str], message: str = "") -> float | None:
    """Return the seconds until a retry is allowed, 0 if that time has passed, or None if no pause is requested.

    `headers` is case-insensitive. `message` is the text of the response. Times are compared with the server's clock if
    the response has its time.
    """
    now = _unix_time(headers.get("Date", ""))
    now = time.time() if now is None else now
    if (value := headers.get("Retry-After", "").strip()) != "":
        if (seconds := whole_number(value)) is not None:
            return float(seconds)
        at = _unix_time(value)
        return None if at is None else max(0.0, at - now)
    for prefix in ("X-RateLimit", "RateLimit"):
        reset = whole_number(headers.get(f"{prefix}-Reset", "").strip())
        # GitHub sends the reset with every response. It counts when nothing is left.
        if headers.get(f"{prefix}-Remaining", "").strip() == "0" and reset is not None:
            return float(reset) if reset < _UNIX_TIME else max(0.0, reset - now)
    return _UNKNOWN_PAUSE if "rate limit" in message.lower() else None


def _unix_time(text: str) -> float | None:
    """Return the time of an HTTP date, or None."""
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()

"""The target group and the response time in a raw line, without the other fields.

Parsing a whole line takes ten times as long. That is too much for a reader that runs all the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from pipeline.balancer.access import RequestTiming
from pipeline.balancer.haproxy.log_format import FIELDS, FORMER_FIELDS
from pipeline.balancer.haproxy.log_outcome import target_group_of

_RESPONSE, _LISTENER, _BACKEND, _TERMINATION, _STATUS = (
    "response",
    "listener",
    "backend",
    "termination",
    "target_status",
)
_NAMES = (_RESPONSE, _LISTENER, _BACKEND, _TERMINATION, _STATUS)
# No target has responded.
_NO_STATUS = frozenset({b"-", b"0", b"-1"})
# Number of fields → the places of these five.
_PLACES = {len(fields): tuple([*fields].index(name) for name in _NAMES) for fields in (tuple(FIELDS), FORMER_FIELDS)}


def timings(raw_lines: Iterable[bytes]) -> Iterator[RequestTiming]:
    """Yield the timing of each request that was forwarded to a target group. Other and damaged lines are skipped."""
    for raw in raw_lines:
        values = raw.split(b"\t")
        places = _PLACES.get(len(values))
        if places is None:
            continue
        response, listener, backend, termination, status = places
        group = _group(
            values[listener], values[backend], values[termination], has_status=values[status] not in _NO_STATUS
        )
        if group is None:
            continue
        try:
            milliseconds = int(values[response])
        except ValueError:
            continue
        yield RequestTiming(group, milliseconds / 1000 if milliseconds >= 0 else None)


# The few combinations of these fields repeat in every line.
@lru_cache(maxsize=4096)
def _group(listener: bytes, backend: bytes, termination: bytes, *, has_status: bool) -> str | None:
    parts = (part.decode(errors="replace") for part in (listener, backend, termination))
    return target_group_of(*parts, has_status=has_status)

"""Which requests of the access log to show: their status, path, target and the like, as a user gives them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields

from pipeline.balancer.model.application.wildcard import Wildcard

_STATUS = re.compile(r"([1-5])XX|(\d{3})(?:-(\d{3}))?", re.IGNORECASE | re.ASCII)
_METHOD = re.compile(r"[A-Za-z]+")
_SECONDS = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)(ms|s)?", re.ASCII)


@dataclass(frozen=True)
class LogFilter:
    """The requests to show. A field that is empty or None lets every request pass.

    `statuses` are ranges of what the client got. `path` is compared without the query. `target` is an address, or an
    address and a port. `group` is a target group's name as records have it, `owner` that of a pipeline. `slower_than`
    is the seconds from sending the request to its target until the response headers arrived.
    """

    statuses: tuple[range, ...] = ()
    path: Wildcard | None = None
    target: str | None = None
    group: str | None = None
    owner: str | None = None
    method: str | None = None
    slower_than: float | None = None

    @property
    def is_of_requests(self) -> bool:
        """True if no TLS connection can pass, because a field is of requests only."""
        return any(getattr(self, field.name) for field in fields(self) if field.name != "owner")

    def has_status(self, status: int | None) -> bool:
        """Return whether a status may pass."""
        return not self.statuses or any(status in wanted for wanted in self.statuses)

    def has_target(self, target: str | None) -> bool:
        """Return whether a target, an address and a port, may pass."""
        return self.target is None or self.target in (target, (target or "").rpartition(":")[0].strip("[]"))


def parse_statuses(text: str) -> tuple[range, ...]:
    """Parse `502`, `5XX`, `400-499` or a list such as `404,5XX`. Raises `ValueError`."""
    return tuple(_ranges(text))


def _ranges(text: str) -> Iterator[range]:
    for part in text.split(","):
        found = _STATUS.fullmatch(part.strip())
        if found is None:
            raise ValueError(f"{text[:40]!r} is not a status; write 502, 5XX, 400-499 or a list such as 404,5XX")
        first = int(found[1]) * 100 if found[1] else int(found[2])
        last = first + 99 if found[1] else int(found[3] or first)
        if last < first:
            raise ValueError(f"{part.strip()!r} is empty: {last} is less than {first}")
        yield range(first, last + 1)


def parse_path(text: str) -> Wildcard:
    """Parse a pattern of paths, in which `*` and `?` are wildcards as in rules. Raises `ValueError`."""
    if not text.startswith(("/", "*", "?")):
        raise ValueError(f"{text[:80]!r} is not a path; it starts with / or *, such as /api/*")
    if "?" in text and "=" in text.partition("?")[2]:
        path = text.partition("?")[0]
        raise ValueError(f"{text[:80]!r} has a query; the path is compared without it: write {path}")
    return Wildcard.parse(text)


def parse_method(text: str) -> str:
    """Parse a method, in any case. Raises `ValueError`."""
    if not _METHOD.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a method; write one such as GET")
    return text.upper()


def parse_seconds(text: str) -> float:
    """Parse `0.5`, `500ms` or `2s`. Raises `ValueError`."""
    found = _SECONDS.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text[:40]!r} is not a time; write seconds such as 0.5, or 500ms")
    return float(found[1]) / (1000 if found[2] == "ms" else 1)

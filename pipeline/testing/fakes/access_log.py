"""An access log in memory, to which a test appends records."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from pipeline.balancer.access import ForwardedRequest, LoggedRequest, LogPage, LogRecord
from pipeline.balancer.log_filter import LogFilter
from pipeline.balancer.log_match import passes


class FakeAccessLog:
    """`records` and `requests` are oldest first. `path` never exists and no line is damaged.

    `appended` reads `records`, `forwarded` reads `requests`, and `repeatable` reads `gets`, which have their groups.
    """

    path = Path("fake-access.log")
    unreadable = 0

    def __init__(
        self,
        records: list[LogRecord],
        requests: list[ForwardedRequest] | None = None,
        gets: list[tuple[str, LoggedRequest]] | None = None,
    ) -> None:
        self.records = records
        self.requests = [] if requests is None else requests
        self.gets = [] if gets is None else gets
        self._read = self._read_requests = self._read_gets = 0

    def newest_first(self) -> Iterator[LogRecord]:
        """Yield every record, the newest first."""
        return reversed(list(self.records))

    def page(self, wanted: LogFilter, limit: int, before: str | None = None, max_bytes: int | None = None) -> LogPage:
        """Return a page. Positions are numbers, and each record takes a byte."""
        if before is not None and not before.isdecimal():
            raise ValueError(f"{before!r} is not the position of an entry")
        end = len(self.records) if before is None else int(before)
        begin = 0 if max_bytes is None else max(0, end - max_bytes)
        found = [(str(at), self.records[at]) for at in range(begin, end) if passes(self.records[at], wanted)]
        kept = found[-limit:] if limit else []
        read = int(kept[0][0]) if limit and len(found) > limit else begin
        since = self.records[read].ended if read < end else None
        return LogPage(kept[::-1], str(read) if read else None, since)

    def appended(self) -> Iterator[LogRecord]:
        """Yield the records since the previous call."""
        begin, self._read = self._read, len(self.records)
        return iter(self.records[begin : self._read])

    def forwarded(self, groups: Collection[str] | None) -> Iterator[ForwardedRequest]:
        """Yield the requests to these groups since the previous call."""
        begin, self._read_requests = self._read_requests, len(self.requests)
        new = self.requests[begin : self._read_requests]
        return (request for request in new if groups is None or request.group in groups)

    def repeatable(self, group: str, choose: Callable[[], bool]) -> Iterator[LoggedRequest]:
        """Yield the chosen requests to a group since the previous call."""
        begin, self._read_gets = self._read_gets, len(self.gets)
        return (get for of, get in self.gets[begin : self._read_gets] if of == group and choose())

    def skip(self) -> None:
        """Let the next call start with later records."""
        self._read, self._read_requests, self._read_gets = len(self.records), len(self.requests), len(self.gets)

    def rewind(self, to: datetime, max_bytes: int | None = None) -> bool:
        """Let the next call start after the latest record that ended before a time. Each record takes a byte."""
        milliseconds = to.timestamp() * 1000
        self._read = _after_last([record.ended < to for record in self.records])
        self._read_requests = _after_last([request.ended < milliseconds for request in self.requests])
        if max_bytes is None:
            return True
        is_complete = len(self.requests) - self._read_requests <= max_bytes
        self._read_requests = max(self._read_requests, len(self.requests) - max_bytes)
        self._read = max(self._read, len(self.records) - max_bytes)
        return is_complete


def _after_last(is_earlier: Sequence[bool]) -> int:
    return len(is_earlier) - [*reversed(is_earlier), True].index(True)

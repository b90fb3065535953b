"""An access log in memory, to which a test appends records."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline.balancer.access import AccessRecord, LogRecord, RequestTiming


class FakeAccessLog:
    """`records` are oldest first. `path` never exists and no line is damaged."""

    path = Path("fake-access.log")
    unreadable = 0

    def __init__(self, records: list[LogRecord]) -> None:
        self.records = records
        self._read = 0

    def newest_first(self) -> Iterator[LogRecord]:
        """Yield every record, the newest first."""
        return reversed(list(self.records))

    def appended(self) -> Iterator[LogRecord]:
        """Yield the records since the previous call."""
        begin, self._read = self._read, len(self.records)
        return iter(self.records[begin : self._read])

    def timings(self) -> Iterator[RequestTiming]:
        """Yield the timings of the forwarded requests since the previous call of this or of `appended`."""
        for record in self.appended():
            if isinstance(record, AccessRecord) and record.target_group:
                yield RequestTiming(record.target_group, record.target_time)

    def skip(self) -> None:
        """Let the next `appended` or `timings` start with later records."""
        self._read = len(self.records)

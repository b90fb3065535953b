"""HAProxy's access log as neutral records."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

from pipeline.balancer.access import AccessRecord, ForwardedRequest, LoggedRequest, LogPage, LogRecord
from pipeline.balancer.haproxy.forwarded_request import ForwardedReader, ended_of
from pipeline.balancer.haproxy.line_filter import line_filter
from pipeline.balancer.haproxy.log_entry import entry_from_line
from pipeline.balancer.haproxy.log_file import LogFile
from pipeline.balancer.haproxy.log_line import AccessLogLine, datetime_from_milliseconds
from pipeline.balancer.haproxy.log_outcome import RequestOutcome, connect_errors
from pipeline.balancer.haproxy.log_place import Place
from pipeline.balancer.haproxy.logged_request import repeatable_requests
from pipeline.balancer.haproxy.naming import is_holding
from pipeline.balancer.haproxy.tls_log import is_tls_line, tls_record
from pipeline.balancer.log_filter import LogFilter
from pipeline.balancer.log_match import passes

# HAProxy's codes for a cookie that led to no target: none, invalid, of a target that is down, expired, too old.
_STICKY_MISSES = frozenset("NIDEO")


class LogReader:
    """A parser of raw lines. A line that cannot be parsed is counted in `unreadable` and skipped."""

    def __init__(self) -> None:
        self.unreadable = 0

    def records(self, raw_lines: Iterable[bytes]) -> Iterator[LogRecord]:
        """Yield a record for each line about a request or a TLS connection."""
        for raw in raw_lines:
            try:
                record = _record(raw)
            except ValueError:
                self.unreadable += 1
            else:
                if record is not None:
                    yield record


class HAProxyAccessLog:
    """The `AccessLog` of HAProxy."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = LogFile(path)
        self._reader = LogReader()
        self._forwarded = ForwardedReader()

    @property
    def unreadable(self) -> int:
        """The number of damaged lines that this object has skipped so far."""
        return self._reader.unreadable + self._forwarded.unreadable

    def newest_first(self) -> Iterator[LogRecord]:
        """Yield every record that is kept, the newest first."""
        return self._reader.records(self._file.newest_first())

    def page(self, wanted: LogFilter, limit: int, before: str | None = None, max_bytes: int | None = None) -> LogPage:
        """Return the newest records that pass a filter, at most `limit`, of those before a position."""
        place, may_pass = Place.from_text(before) if before else None, line_filter(wanted)
        found, left = list[tuple[str, LogRecord]](), sys.maxsize if max_bytes is None else max_bytes
        last = b""
        for offset, line in self._file.before(place):
            if len(found) == limit or left <= 0:
                return LogPage(found, str(place), _ended(last))
            place, last, left = Place.of(offset, line), line, left - len(line)
            if may_pass(line):
                found += ((str(place), each) for each in self._reader.records([line]) if passes(each, wanted))
        return LogPage(found, None, _ended(last))

    def appended(self) -> Iterator[LogRecord]:
        """Yield the records since the previous call."""
        return self._reader.records(self._file.appended())

    def forwarded(self, groups: Collection[str] | None) -> Iterator[ForwardedRequest]:
        """Yield the requests that were forwarded to these groups since the previous call."""
        return self._forwarded.requests(self._file.appended(), groups)

    def repeatable(self, group: str, choose: Callable[[], bool]) -> Iterator[LoggedRequest]:
        """Yield the chosen GET and HEAD requests that a target of a group has answered since the previous call."""
        return repeatable_requests(self._file.appended(), group, choose)

    def skip(self) -> None:
        """Make the next call start with records that are written after this one."""
        self._file.skip()

    def rewind(self, to: datetime, max_bytes: int | None = None) -> bool:
        """Make the next call start after the latest record that ended before a time. False if some may be missing."""
        milliseconds = to.timestamp() * 1000

        def is_earlier(line: bytes) -> bool:
            ended = ended_of(line)
            return ended is not None and ended < milliseconds

        return self._file.rewind(is_earlier, max_bytes)


def _ended(raw: bytes) -> datetime | None:
    """Return when the request or the connection of a line ended. None for any other line."""
    if is_tls_line(raw):
        return next((record.ended for record in LogReader().records([raw])), None)
    ended = ended_of(raw)
    return None if ended is None else datetime_from_milliseconds(ended)


def _record(raw: bytes) -> LogRecord | None:
    if is_tls_line(raw):
        return tls_record(raw)
    line = AccessLogLine.read(raw)
    return record_from_line(line) if line else None


def record_from_line(line: AccessLogLine) -> AccessRecord:
    """Return the neutral record of a line."""
    outcome, numbers, termination = RequestOutcome.from_line(line), line.numbers, line.fields["termination"]
    # The time of a request that was held is mostly that of the start of a container.
    response = -1 if is_holding(line.fields["backend"]) else numbers["response"]
    return AccessRecord(
        ended=datetime_from_milliseconds(line.ended),
        load_balancer=outcome.load_balancer,
        listener=line.port,
        rule=outcome.rule,
        target_group=outcome.target_group,
        target=outcome.target,
        action=outcome.action,
        elb_status=outcome.elb_status,
        target_status=outcome.target_status,
        received_bytes=numbers["received_bytes"],
        sent_bytes=numbers["sent_bytes"],
        target_time=response / 1000 if response >= 0 else None,
        connect_errors=connect_errors(line),
        sticky_miss=termination[2] in _STICKY_MISSES,
        error=outcome.error_reason,
        entry=partial(entry_from_line, line),
    )

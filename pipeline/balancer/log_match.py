"""Whether a record of the access log passes a filter."""

from __future__ import annotations

from pipeline.balancer.access import AccessRecord, LogRecord
from pipeline.balancer.log_filter import LogFilter


def passes(record: LogRecord, wanted: LogFilter) -> bool:
    """Return whether a request or a TLS connection passes."""
    if not isinstance(record, AccessRecord):
        return not wanted.is_of_requests and wanted.owner in (None, _owner(record.entry().elb))
    return (
        wanted.has_status(record.elb_status)
        and wanted.has_target(record.target)
        and wanted.group in (None, record.target_group)
        and (wanted.owner is None or wanted.owner in _owners(record))
        and (wanted.slower_than is None or (record.target_time is not None and record.target_time > wanted.slower_than))
        and ((wanted.method is None and wanted.path is None) or _has_line(record, wanted))
    )


def _owners(record: AccessRecord) -> tuple[str, ...]:
    """Return the owners of the load balancer and of the target group, which may be others."""
    group = record.target_group
    return (_owner(record.load_balancer), *([group.rpartition(".")[0]] if group else []))


def _owner(load_balancer: str) -> str:
    return load_balancer.rpartition("/")[2]


def _has_line(record: AccessRecord, wanted: LogFilter) -> bool:
    """Return whether method and path pass. They are parsed last, since that takes longest."""
    method, _, rest = record.entry().request.partition(" ")
    path = _path(rest.rpartition(" ")[0])
    return wanted.method in (None, method) and (wanted.path is None or wanted.path.matches(path))


def _path(url: str) -> str:
    """Return the path of a complete URL. `*` and the authority of CONNECT are what the request has instead."""
    scheme, found, rest = url.partition("://")
    _, slash, path = rest.partition("/")
    return f"{slash}{path}".partition("?")[0] if found and "/" not in scheme else url

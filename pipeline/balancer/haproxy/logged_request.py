"""The requests in the access log that can be sent again: GET and HEAD requests that the log has completely."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from pipeline.balancer.access import LoggedRequest
from pipeline.balancer.haproxy.log_line import AccessLogLine
from pipeline.balancer.haproxy.log_outcome import CLIENT_CLOSED, RequestOutcome

_METHODS = (b"\tGET ", b"\tHEAD ")
# What the log has encoded and was not ASCII may be another text than the client sent.
_VISIBLE = re.compile(r"[!-~]+")
_SERVER_ERROR = 500


def repeatable_requests(raw_lines: Iterable[bytes], group: str, choose: Callable[[], bool]) -> Iterator[LoggedRequest]:
    """Yield the requests to a target group for which `choose` returns True. Skips damaged lines."""
    mark = f"\t{group}".encode()
    for raw in raw_lines:
        # Parsing a line takes longer than all else, and most are not chosen.
        if mark not in raw or not any(method in raw for method in _METHODS) or not choose():
            continue
        try:
            line = AccessLogLine.read(raw)
        except ValueError:
            continue
        found = _request(line, group) if line else None
        if found:
            yield found


def _request(line: AccessLogLine, group: str) -> LoggedRequest | None:
    outcome, status = RequestOutcome.from_line(line), line.numbers["target_status"]
    is_answered = outcome.target_group == group and outcome.elb_status != CLIENT_CLOSED
    # 101 begins another protocol.
    if not is_answered or not 200 <= status < _SERVER_ERROR or line.text("upgrade"):
        return None
    method, path, host = line.text("method"), _path(line.text("uri") or ""), line.text("host") or ""
    # A line without a version was cut.
    if method not in ("GET", "HEAD") or not path or not line.text("version") or not _VISIBLE.fullmatch(host):
        return None
    agent = line.text("user_agent")
    return LoggedRequest(
        method=method,
        path=path,
        host=host,
        user_agent=agent if agent and agent.isascii() and agent.isprintable() else None,
        client=line.fields["client"].rpartition(":")[0],
        listener=line.port,
        is_secure=line.text("tls_version") is not None,
    )


def _path(uri: str) -> str | None:
    """Return the path and the query of a URI. HTTP/2 sends the whole URL."""
    if "://" in uri.partition("?")[0] and not uri.startswith("/"):
        _, slash, path = uri.partition("://")[2].partition("/")
        uri = slash + path
    return uri if uri.startswith("/") and _VISIBLE.fullmatch(uri) else None

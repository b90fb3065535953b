"""A fast reader of the access log for alarms: it reads a few fields of the lines about some target groups.

A line of a request that ended normally is read here. Any other one is parsed by `AccessLogLine`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache

from pipeline.balancer.access import ForwardedRequest
from pipeline.balancer.haproxy.log_format import FIELDS
from pipeline.balancer.haproxy.log_line import AccessLogLine
from pipeline.balancer.haproxy.log_outcome import CLIENT_CLOSED, RequestOutcome, connect_errors, group_of_backend
from pipeline.balancer.haproxy.naming import is_holding, target_of
from pipeline.balancer.haproxy.tls_log import is_tls_line

_AT = {name: index for index, name in enumerate(FIELDS)}
_SECONDS, _MILLISECONDS = _AT["accepted_seconds"], _AT["accepted_milliseconds"]
_HANDSHAKE, _IDLE, _TOTAL = _AT["handshake"], _AT["idle"], _AT["total"]
_RESPONSE, _STATUS, _TARGET_STATUS = _AT["response"], _AT["status"], _AT["target_status"]
_LISTENER, _BACKEND, _SERVER = _AT["listener"], _AT["backend"], _AT["server"]
_TERMINATION, _RETRIES, _HEADERS = _AT["termination"], _AT["retries"], _AT["request_headers"]
_NORMAL_END, _NO_SERVER = b"--", b"<NOSRV>"
_GRPC = "application/grpc"
# HAProxy encodes a `|` that a client sent. The content type is the last of the headers.
_GRPC_HEADER = f"|{_GRPC}".encode()


class ForwardedReader:
    """Reads raw lines. Damaged lines that name a wanted group are counted in `unreadable` and skipped."""

    def __init__(self) -> None:
        self.unreadable = 0

    def requests(self, raw_lines: Iterable[bytes], groups: Collection[str] | None) -> Iterator[ForwardedRequest]:
        """Yield the requests that were forwarded to these groups. None stands for all groups."""
        wanted = None if groups is None else frozenset(groups)
        # Most lines may be about other groups, and are not split.
        for raw in raw_lines if wanted is None else _about(raw_lines, wanted):
            try:
                request = _read(raw)
            except ValueError:
                self.unreadable += 1
            else:
                if request is not None and (wanted is None or request.group in wanted):
                    yield request


def ended_of(raw: bytes) -> int | None:
    """Return when the request of a line ended, in milliseconds since 1970. None for other lines, also damaged ones."""
    fields = raw.split(b"\t")
    try:
        return _times(fields)[1] if len(fields) == len(FIELDS) else None
    except ValueError:
        return None


def _read(raw: bytes) -> ForwardedRequest | None:
    fields = raw.split(b"\t")
    if len(fields) != len(FIELDS) or not fields[_TERMINATION].startswith(_NORMAL_END):
        return _parsed(raw)
    group = _group(fields[_BACKEND])
    if group is None or fields[_BACKEND] == fields[_LISTENER]:
        return _parsed(raw)
    arrived, ended = _times(fields)
    status, response = _number(fields[_STATUS]), _number(fields[_RESPONSE])
    retries = _number(fields[_RETRIES])
    found = (
        arrived,
        ended,
        _port(fields[_LISTENER]),
        group,
        _target(fields[_SERVER]),
        status if status > 0 else None,
        _number(fields[_TARGET_STATUS]) > 0,
        response if response >= 0 else None,
        retries if retries > 0 else 0,
        _GRPC_HEADER in fields[_HEADERS],
        None,
    )
    # Half the time of a call with eleven arguments.
    return ForwardedRequest._make(found)


def _parsed(raw: bytes) -> ForwardedRequest | None:
    line = None if is_tls_line(raw) else AccessLogLine.read(raw)
    if line is None:
        return None
    outcome, was_held = RequestOutcome.from_line(line), is_holding(line.fields["backend"])
    if outcome.target_group is None:
        return None
    server = None if was_held else line.text("server")
    return ForwardedRequest(
        arrived=line.created,
        ended=line.ended,
        listener=line.port,
        group=outcome.target_group,
        target=target_of(server) if server else None,
        status=outcome.elb_status,
        is_from_target=outcome.target_status is not None,
        # Most of it is the start of the container.
        response_time=None if was_held else _waited(line, outcome),
        connect_errors=connect_errors(line),
        is_grpc=(line.text("content_type") or "").startswith(_GRPC),
        error=outcome.error_reason,
    )


def _waited(line: AccessLogLine, outcome: RequestOutcome) -> int | None:
    """Return the time until the response, or the time that a client which left has waited for it."""
    response, steps = line.numbers["response"], [line.numbers[step] for step in ("request", "queue", "connect")]
    if response >= 0:
        return response
    # Without a connection, the request was not sent.
    if outcome.elb_status != CLIENT_CLOSED or min(steps) < 0:
        return None
    return max(line.numbers["total"] - sum(steps), 0)


def _about(raw_lines: Iterable[bytes], groups: Collection[str]) -> Iterator[bytes]:
    """Yield the lines that may be about one of the groups."""
    marks = _marks(groups)
    for raw in raw_lines:
        for mark in marks:
            if mark in raw:
                yield raw
                break


def _marks(groups: Collection[str]) -> list[bytes]:
    """Return texts of which each line about one of the groups has at least one.

    The backends of a group begin with its name, and so does the name of its alternate group.
    """
    shortest = [group for group in groups if not any(group != other and group.startswith(other) for other in groups)]
    return [f"\t{group}".encode() for group in shortest]


def _times(fields: list[bytes]) -> tuple[int, int]:
    """Return when the first byte of a request arrived and when its response ended."""
    arrived = _number(fields[_SECONDS]) * 1000 + _number(fields[_MILLISECONDS])
    if (handshake := _number(fields[_HANDSHAKE])) > 0:
        arrived += handshake
    if (idle := _number(fields[_IDLE])) > 0:
        arrived += idle
    total = _number(fields[_TOTAL])
    return arrived, arrived + total if total > 0 else arrived


# Most numbers come again: the second, times of a few milliseconds, the status.
@lru_cache(maxsize=16384)
def _number(field: bytes) -> int:
    return -1 if field == b"-" else int(field)


@lru_cache(maxsize=1024)
def _group(backend: bytes) -> str | None:
    name = backend.decode()
    # The backends of a target group have its owner and its name. What was held is parsed.
    return group_of_backend(name) if "." in name and not is_holding(name) else None


@lru_cache(maxsize=1024)
def _port(listener: bytes) -> int:
    _, _, port = listener.split(b".")
    return int(port)


@lru_cache(maxsize=4096)
def _target(server: bytes) -> str | None:
    return None if server == _NO_SERVER else target_of(server.decode())

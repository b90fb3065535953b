"""Repetition of requests, and the connections to targets that clients share because of it.

HAProxy sends a request to a second target, after the first one got it and did not respond, if the request may be
repeated and was buffered as a whole.

A target may close an idle connection at the moment when a request is sent on it. So only a request that HAProxy would
repeat may be the first of its client on a used connection. It goes to a second backend of its target group, which
reuses every idle connection. The others stay in the first backend, where a client's first request opens a connection.

The second backend's servers have no checks: a target is checked once, and HAProxy cannot let a server track one that
was added at run time. So this backend is used only while all its targets are healthy, which the numbers of both
backends show: a target enters the second backend before the first and leaves it after the first, so if the first one
has as many usable targets, they are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline.balancer.haproxy.naming import SHARED_SUFFIX
from pipeline.balancer.model import ApplicationTargetGroup

# HAProxy's buffer holds this much of a request.
_MAX_BUFFERED = 15360
# A body may take as long as it likes. The client's idle timeout ends the wait.
_MAX_WAIT = "24h"
_AWAITED = f"framed repeatable {{ req.fhdr(content-length) -m int 1:{_MAX_BUFFERED} }}"
# An HTTP/2 request may have a body without a header that announces it.
_REPEATED = f"!framed safe or !framed http1 repeatable or {_AWAITED}"


def repetition_lines() -> Iterator[str]:
    """Yield lines that decide whether a request may be sent to a second target after the first one got it.

    A non-idempotent request may not, unless it carries an Idempotency-Key.
    """
    yield "acl safe method GET HEAD OPTIONS"
    yield "acl repeatable method PUT DELETE"
    yield "acl repeatable req.hdr(idempotency-key) -m found"
    yield "http-request disable-l7-retry if !safe !repeatable"
    # HAProxy can retry only a request that it has buffered, so it waits for a body that fits. Other bodies stream.
    yield f"http-request wait-for-body time {_MAX_WAIT} if {_AWAITED}"


def shares_connections(group: ApplicationTargetGroup) -> bool:
    """Return whether clients share connections to the targets of a group.

    They do not with attributes for which HAProxy keeps a state per backend, and not over HTTP/2, where a slow client
    would delay those that share its connection.
    """
    attributes = group.attributes
    return (
        attributes.retry
        and not group.is_lambda
        and group.protocol_version == "HTTP1"
        and attributes.algorithm != "least_outstanding_requests"
        and attributes.anomaly_mitigation == "off"
        and not attributes.slow_start
        and not attributes.stickiness
    )


def count_lines(groups: Iterable[ApplicationTargetGroup], only: str | None = None) -> Iterator[str]:
    """Yield lines of a frontend that count the targets of the second backend, for a request that may be repeated.

    `groups`: those of the frontend. `only`: the backend of every request, or None for the one in `txn.backend`.
    """
    if any(map(shares_connections, groups)):
        count = f"nbsrv({only}{SHARED_SUFFIX})" if only else f"var(txn.backend),concat({SHARED_SUFFIX}),nbsrv"
        yield f"http-request set-var(txn.targets) {count} if {_REPEATED}"


def shared_routes(groups: Iterable[ApplicationTargetGroup], only: str | None = None) -> Iterator[str]:
    """Yield the line that chooses the second backend. See `count_lines`.

    HAProxy repeats a request only if it could take down other targets than the last one. See `backend.retry_lines`.
    With one target, it would repeat it on another connection that the target may be closing.
    """
    sharing = [group for group in groups if shares_connections(group)]
    if not sharing:
        return
    least = max(group.attributes.retry_minimum_healthy for group in sharing)
    healthy = f"nbsrv({only})" if only else "var(txn.backend),nbsrv"
    backend = f"{only or '%[var(txn.backend)]'}{SHARED_SUFFIX}"
    are_enough, are_equal = f"var(txn.targets) -m int {max(2, least)}:", f"{healthy},sub(txn.targets) -m int 0"
    yield f"use_backend {backend} if {{ {are_enough} }} {{ {are_equal} }}"

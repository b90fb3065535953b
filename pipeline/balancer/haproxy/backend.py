"""A target group as HAProxy's backend."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from pipeline.balancer.haproxy.check_lines import AGENT, CHECK_HOST, check_lines
from pipeline.balancer.haproxy.error_responses import backend_denials, holding_denials
from pipeline.balancer.haproxy.naming import (
    COOKIE_AGE,
    FUNCTION_CHECK,
    FUNCTION_GROUP,
    FUNCTION_TARGET,
    HOLDING_SERVER,
    fail_open_backend_of,
    holding_backend_of,
    holding_socket,
    shared_backend_of,
)
from pipeline.balancer.haproxy.quoting import argument, quote
from pipeline.balancer.haproxy.repetition import shares_connections
from pipeline.balancer.model import ApplicationTargetGroup
from pipeline.balancer.model.application.attributes import ApplicationGroupAttributes
from pipeline.base.quantity import milliseconds

_ALGORITHMS = {"round_robin": "roundrobin", "least_outstanding_requests": "leastconn", "weighted_random": "random(1)"}
_COOKIE = "AWSALB"
# Seconds after which a client whose request could not be held any longer may try again.
_RETRY_AFTER = 10
# The number of application cookies that are remembered.
_STICK_TABLE_SIZE = "100k"


def backends(main: str, group: ApplicationTargetGroup, idle: Sequence[int]) -> dict[str, Iterator[str]]:
    """Return the sections of a target group, or of a pool of it, by name, without its targets.

    `main`: the backend whose servers are checked. `idle`: the idle timeouts, in s.
    """
    found = {main: _main(main, group)}
    if not group.attributes.needs_one_healthy:
        found[fail_open_backend_of(main)] = _fail_open(main, group)
    if shares_connections(group):
        found[shared_backend_of(main)] = _shared(group)
    sections = {backend: _section(backend, main, group, idle, lines) for backend, lines in found.items()}
    if group.hold_time is not None:
        holding = holding_backend_of(main)
        sections[holding] = _holding(holding, main, group, group.hold_time.total_seconds(), idle)
    return sections


def _holding(
    backend: str, main: str, group: ApplicationTargetGroup, hold_time: float, idle: Sequence[int]
) -> Iterator[str]:
    """Yield the backend that is used while the group has no target: the activator holds the request."""
    yield f"backend {backend}"
    # The wait for a target, and then that for its response.
    yield f"  timeout server {math.ceil(hold_time) + max(idle)}s"
    yield f"  timeout tunnel {max(idle)}s"
    if len(idle) > 1:
        yield "  http-request set-timeout tunnel var(txn.idle) if { var(txn.idle) -m found }"
    yield from (f"  {line}" for line in holding_denials(group, _RETRY_AFTER))
    yield "  retry-on conn-failure"
    # Each request has a connection of its own, which the activator passes on to one target.
    yield "  option http-server-close"
    yield "  http-reuse never"
    version = "" if group.protocol_version == "HTTP1" else " proto h2"
    yield f"  server {HOLDING_SERVER} unix@{holding_socket(main)} pool-max-conn 0 max-reuse 0{version}"


def _section(
    backend: str, main: str, group: ApplicationTargetGroup, idle: Sequence[int], lines: Iterator[str]
) -> Iterator[str]:
    yield f"backend {backend}"
    yield from (f"  {line}" for line in _common(main, group, idle))
    yield from (f"  {line}" for line in lines)


def _main(backend: str, group: ApplicationTargetGroup) -> Iterator[str]:
    yield from _retries(group, f"nbsrv({backend}) 2")
    yield "option allbackups"
    yield from _stickiness(group.attributes, backend)
    yield from _table(group.attributes)
    yield f"timeout check {milliseconds(group.health_check.timeout)}ms"
    if group.is_lambda:
        yield from _function_check(group)
    else:
        yield from check_lines(group, http2=group.protocol_version != "HTTP1", grpc=group.is_grpc)


def _fail_open(main: str, group: ApplicationTargetGroup) -> Iterator[str]:
    """Yield lines of the backend that is used while too few targets are healthy: the same targets, unchecked."""
    # Every target gets requests here, so the second try could reach the only healthy one.
    yield from _retries(group, f"nbsrv({main}) 1", f"nbsrv({fail_open_backend_of(main)}) 2")
    yield from _stickiness(group.attributes, main)


def _shared(group: ApplicationTargetGroup) -> Iterator[str]:
    """Yield lines of the backend in which clients share connections. See `repetition`."""
    yield "http-reuse always"
    yield from _retries(group)


def _common(backend: str, group: ApplicationTargetGroup, idle: Sequence[int]) -> Iterator[str]:
    yield f"balance {_ALGORITHMS[group.attributes.algorithm]}"
    for side in ("server", "tunnel"):
        yield f"timeout {side} {max(idle)}s"
        if len(idle) > 1:
            # The idle timeout of the load balancer that received the request.
            yield f"http-request set-timeout {side} var(txn.idle) if {{ var(txn.idle) -m found }}"
    yield from backend_denials(group)
    if group.is_lambda:
        yield f"http-request set-header {FUNCTION_GROUP} {backend}"
        yield f"http-request del-header {FUNCTION_CHECK}"
        yield f"http-send-name-header {FUNCTION_TARGET}"
        # The next request on a kept connection might be for another function.
        yield "option http-server-close"


def _retries(group: ApplicationTargetGroup, *counts: str) -> Iterator[str]:
    """Yield lines that limit repetitions. HAProxy counts refused connections and unanswered requests together.

    `counts`: numbers of targets, each with the smallest number at which the second try could take down the last one.
    With one target, the second try can only go to the same one, which does no harm.
    """
    if group.is_lambda or not group.attributes.retry:
        yield "retry-on conn-failure"
        return
    yield "retries 1"
    least = group.attributes.retry_minimum_healthy
    for count in counts if least > 2 else ():
        yield f"http-request disable-l7-retry if {{ {count}:{least - 1} }}"


def _stickiness(attributes: ApplicationGroupAttributes, table: str) -> Iterator[str]:
    """Yield lines that keep a client with its target. `table`: the backend that stores the application's cookies."""
    if not attributes.stickiness:
        return
    if attributes.stickiness_type == "lb_cookie":
        yield from _own_cookie(attributes.lb_cookie_duration)
        return
    name = attributes.app_cookie_name or ""
    known = _cookie("req", name, f",in_table({table})")
    yield f"stick match {_cookie('req', name)} table {table}"
    # If the cookie is known but its target has left or failed, the target that is chosen now replaces it.
    yield f"stick store-request {_cookie('req', name)} table {table} if {{ {known} -m bool }}"
    yield f"stick store-response {_cookie('res', name)} table {table}"


def _cookie(side: str, name: str, converters: str = "") -> str:
    """Return the expression for a cookie. Its name may have characters that are special in a configuration."""
    if re.fullmatch(r"[\w.-]+", name, re.ASCII):
        return f"{side}.cook({name}){converters}"
    return quote(f"{side}.cook({argument(name)}){converters}")


def _table(attributes: ApplicationGroupAttributes) -> Iterator[str]:
    """Yield the table of application cookies, by address, so a target and its fail-open server have one entry."""
    if attributes.stickiness and attributes.stickiness_type == "app_cookie":
        yield (
            f"stick-table type string len 128 size {_STICK_TABLE_SIZE} expire {attributes.app_cookie_duration}s "
            "srvkey addr peers workers"
        )


def _own_cookie(duration: int) -> Iterator[str]:
    """Yield lines for the load balancer's cookie, and its copy for cross-site requests."""
    yield f'cookie {_COOKIE} insert indirect nocache httponly maxidle {duration}s attr "Max-Age={COOKIE_AGE}"'
    copied = f"{{ req.cook({_COOKIE}CORS) -m found }} !{{ req.cook({_COOKIE}) -m found }}"
    yield f'http-request add-header Cookie "{_COOKIE}=%[req.cook({_COOKIE}CORS)]" if {copied}'
    yield f"http-after-response set-var(txn.stuck) res.cook({_COOKIE})"
    copy = f"{_COOKIE}CORS=%[var(txn.stuck)]; Max-Age={COOKIE_AGE}; Path=/; SameSite=None; Secure"
    yield f'http-after-response add-header Set-Cookie "{copy}" if {{ var(txn.stuck) -m len gt 0 }}'


def _function_check(group: ApplicationTargetGroup) -> Iterator[str]:
    """Yield lines of a check that invokes a function, if a path is given, or only tests whether it can be reached."""
    what = f"hdr Host {group.health_check.host or CHECK_HOST} {AGENT} hdr {FUNCTION_TARGET} %[srv_name]"
    reached = f" hdr {FUNCTION_CHECK} reachable" if group.health_check.path is None else ""
    yield "option httpchk"
    yield "http-check connect proto h1"
    yield (
        f"http-check send meth GET uri {quote(group.check_path)} ver HTTP/1.1 {what} "
        f"hdr {FUNCTION_GROUP} %[be_name]{reached} hdr Connection close"
    )
    yield f"http-check expect status {group.check_matcher}"

"""A target group as HAProxy's backend."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.balancer.haproxy.answers import backend_refusals
from pipeline.balancer.haproxy.words import backend_name, open_backend_name, quote
from pipeline.balancer.model import TargetGroup
from pipeline.balancer.model.attributes import TargetGroupAttributes
from pipeline.quantity import milliseconds

_ALGORITHMS = {"round_robin": "roundrobin", "least_outstanding_requests": "leastconn", "weighted_random": "random(1)"}
_COOKIE = "AWSALB"
_BROWSER = 7 * 86400
# A check's Host, as ELB's: the address and the port that it goes to.
_HOST = "%[bc_dst]:%[bc_dst_port]"
# How many clients' application cookies are remembered.
_SESSIONS = "100k"


def backend_lines(owner: str, name: str, group: TargetGroup, idle: int) -> Iterator[str]:
    """The section of a target group, without its targets. `idle`: seconds that a target may be silent."""
    yield f"backend {backend_name(owner, name)}"
    yield from (f"  {line}" for line in _common(group, idle))
    yield "  option allbackups"
    yield from (f"  {line}" for line in _stickiness(group.attributes, backend_name(owner, name)))
    yield from (f"  {line}" for line in _table(group.attributes))
    yield f"  timeout check {milliseconds(group.health_check.timeout)}ms"
    yield from (f"  {line}" for line in _check(group))


def open_backend_lines(owner: str, name: str, group: TargetGroup, idle: int) -> Iterator[str]:
    """The section that takes over when too few targets are healthy: the same targets, not checked."""
    yield f"backend {open_backend_name(owner, name)}"
    yield from (f"  {line}" for line in _common(group, idle))
    yield from (f"  {line}" for line in _stickiness(group.attributes, backend_name(owner, name)))


def _common(group: TargetGroup, idle: int) -> Iterator[str]:
    yield f"balance {_ALGORITHMS[group.attributes.algorithm]}"
    yield f"timeout server {idle}s"
    yield f"timeout tunnel {idle}s"
    yield from backend_refusals(group)


def _stickiness(attributes: TargetGroupAttributes, table: str) -> Iterator[str]:
    """How a client stays with its target. `table`: the backend that remembers the application's cookies."""
    if not attributes.stickiness:
        return
    if attributes.stickiness_type == "lb_cookie":
        yield from _own_cookie(attributes.lb_cookie_duration)
        return
    name = attributes.app_cookie_name
    yield f"stick match req.cook({name}) table {table}"
    # A client whose target has left or failed belongs to the next one from then on.
    yield f"stick store-request req.cook({name}) table {table} if {{ req.cook({name}),in_table({table}) -m bool }}"
    yield f"stick store-response res.cook({name}) table {table}"


def _table(attributes: TargetGroupAttributes) -> Iterator[str]:
    """What remembers the application's cookies. By address, because a target and its twin are the same then."""
    if attributes.stickiness and attributes.stickiness_type == "app_cookie":
        yield (
            f"stick-table type string len 128 size {_SESSIONS} expire {attributes.app_cookie_duration}s srvkey addr "
            "peers workers"
        )


def _own_cookie(duration: int) -> Iterator[str]:
    """The cookie of the load balancer, and its copy for requests from pages of other sites."""
    yield f'cookie {_COOKIE} insert indirect nocache httponly maxidle {duration}s attr "Max-Age={_BROWSER}"'
    copied = f"!{{ req.cook({_COOKIE}) -m found }} {{ req.cook({_COOKIE}CORS) -m found }}"
    yield f'http-request add-header Cookie "{_COOKIE}=%[req.cook({_COOKIE}CORS)]" if {copied}'
    copy = f"{_COOKIE}CORS=%[res.cook({_COOKIE})]; Max-Age={_BROWSER}; Path=/; SameSite=None; Secure"
    yield f'http-after-response add-header Set-Cookie "{copy}" if {{ res.cook({_COOKIE}) -m len gt 0 }}'


def _check(group: TargetGroup) -> Iterator[str]:
    """Lines that only connect, ask a target for a page, or call a gRPC method that need not exist."""
    if group.health_check.protocol == "TCP":
        # Without these, a check would speak what the targets do.
        yield "option tcp-check"
        yield "tcp-check connect"
        return
    version = "HTTP/1.1" if group.protocol_version == "HTTP1" else "HTTP/2"
    protocol = "proto h1" if group.protocol_version == "HTTP1" else "proto h2"
    alpn = "" if group.protocol_version == "HTTP1" else " alpn h2"
    secure = f" ssl{alpn}" if group.health_check.protocol == "HTTPS" else ""
    yield "option httpchk"
    yield f"http-check connect {protocol}{secure}"
    what = f"uri {quote(group.check_path)} ver {version} hdr Host {_HOST} hdr User-Agent ELB-HealthChecker/2.0"
    if group.is_grpc:
        yield f"http-check send meth POST {what} hdr Content-Type application/grpc hdr Te trailers"
        yield f"http-check expect hdr name grpc-status value -m reg '^({_codes(group.check_matcher)})$'"
        return
    yield f"http-check send meth GET {what}{' hdr Connection close' if version == 'HTTP/1.1' else ''}"
    yield f"http-check expect status {group.check_matcher}"


def _codes(matcher: str) -> str:
    """`0,12-14` as alternatives of an expression."""
    found = []
    for part in matcher.split(","):
        low, _, high = part.partition("-")
        found += [str(code) for code in range(int(low), int(high or low) + 1)]
    return "|".join(found)

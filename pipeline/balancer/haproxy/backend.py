"""A target group as HAProxy's backend."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.balancer.haproxy.answers import backend_refusals
from pipeline.balancer.haproxy.words import backend_name, open_backend_name, quote
from pipeline.balancer.model import TargetGroup
from pipeline.balancer.model.attributes import TargetGroupAttributes
from pipeline.quantity import milliseconds

_ALGORITHMS = {"round_robin": "roundrobin", "least_outstanding_requests": "leastconn", "weighted_random": "random(1)"}
_BROWSER = 7 * 86400
# How many clients' application cookies are remembered.
_SESSIONS = "100k"


def backend_lines(owner: str, name: str, group: TargetGroup, idle: int) -> Iterator[str]:
    """The section of a target group, without its targets. `idle`: seconds that a target may be silent."""
    yield f"backend {backend_name(owner, name)}"
    yield from (f"  {line}" for line in _common(group, idle))
    yield "  option allbackups"
    yield from (f"  {line}" for line in _stickiness(group.attributes))
    yield f"  timeout check {milliseconds(group.health_check.timeout)}ms"
    if group.health_check.protocol != "TCP":
        yield "  option httpchk"
        yield from (f"  {line}" for line in _check(group))


def open_backend_lines(owner: str, name: str, group: TargetGroup, idle: int) -> Iterator[str]:
    """The section that takes over when too few targets are healthy: the same targets, not checked."""
    yield f"backend {open_backend_name(owner, name)}"
    yield from (f"  {line}" for line in _common(group, idle))


def _common(group: TargetGroup, idle: int) -> Iterator[str]:
    yield f"balance {_ALGORITHMS[group.attributes.algorithm]}"
    yield f"timeout server {idle}s"
    yield f"timeout tunnel {idle}s"
    yield from backend_refusals(group)


def _stickiness(attributes: TargetGroupAttributes) -> Iterator[str]:
    if not attributes.stickiness:
        return
    if attributes.stickiness_type == "lb_cookie":
        yield (
            f"cookie AWSALB insert indirect nocache httponly maxidle {attributes.lb_cookie_duration}s "
            f'attr "Max-Age={_BROWSER}"'
        )
        return
    name = attributes.app_cookie_name
    yield f"stick-table type string len 128 size {_SESSIONS} expire {attributes.app_cookie_duration}s peers workers"
    yield f"stick match req.cook({name})"
    yield f"stick store-response res.cook({name})"


def _check(group: TargetGroup) -> Iterator[str]:
    """Lines that ask a target for a page, or call a gRPC method that need not exist."""
    version = "HTTP/1.1" if group.protocol_version == "HTTP1" else "HTTP/2"
    protocol = "proto h1" if group.protocol_version == "HTTP1" else "proto h2"
    alpn = "" if group.protocol_version == "HTTP1" else " alpn h2"
    secure = f" ssl{alpn}" if group.health_check.protocol == "HTTPS" else ""
    yield f"http-check connect {protocol}{secure}"
    what = f"uri {quote(group.check_path)} ver {version} hdr Host localhost hdr User-Agent ELB-HealthChecker/2.0"
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

"""A target group of a network load balancer as HAProxy's backend, which forwards connections."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.balancer.haproxy.check_lines import CHECK_HOST, check_lines
from pipeline.balancer.haproxy.naming import fail_open_backend_of
from pipeline.balancer.haproxy.server_args import CUT_WHEN_DOWN, check_args, closing_cuts
from pipeline.balancer.model import NetworkTargetGroup
from pipeline.base.quantity import milliseconds


def network_backends(main: str, group: NetworkTargetGroup, idle: int) -> dict[str, Iterator[str]]:
    """Return the sections of a target group, or of a pool of it, by name, without its targets.

    `main`: the backend whose servers are checked. `idle`: the idle timeout, in s.
    """
    found = {main: _main(main, group, idle)}
    if not group.attributes.needs_one_healthy:
        # Used while too few targets are healthy: the same targets, unchecked.
        found[fail_open_backend_of(main)] = _common(fail_open_backend_of(main), group, idle)
    return found


def _main(backend: str, group: NetworkTargetGroup, idle: int) -> Iterator[str]:
    yield from _common(backend, group, idle)
    yield "  option allbackups"
    if closing_cuts(group):
        # Servers have it themselves. Here, it lets a change of this setting reload HAProxy.
        yield f"  default-server {CUT_WHEN_DOWN}"
    yield f"  timeout check {milliseconds(group.health_check.timeout)}ms"
    if group.is_alb:
        # No deployment replaces its server. This line lets a change of the check's timing reload HAProxy.
        yield f"  # {check_args(group, group.health_check)}"
    # HAProxy knows no port of a server that it reaches by a socket.
    host = f"127.0.0.1:{group.port}" if group.is_alb else CHECK_HOST
    for line in check_lines(group, proxy_header=group.has_proxy_header, default_host=host):
        yield f"  {line}"


def _common(backend: str, group: NetworkTargetGroup, idle: int) -> Iterator[str]:
    yield f"backend {backend}"
    if group.attributes.stickiness:
        yield "  balance hash src"
        # When a target comes or goes, clients of the others stay with theirs.
        yield "  hash-type consistent djb2 avalanche"
    else:
        # ELB's flow hash includes the sequence number, which is random, so there too any target may be the next one.
        # HAProxy's hash would cost 140 KB and 7 ms for each target.
        yield "  balance roundrobin"
    # Counts from the last byte in either direction. The timeouts of the sides would close a long download.
    yield f"  timeout tunnel {idle}s"

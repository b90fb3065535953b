"""A target group of a gateway load balancer as HAProxy's backend, which only checks the appliances.

HAProxy carries no packets. No frontend uses the backend.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.balancer.haproxy.check_lines import check_lines
from pipeline.balancer.model import GatewayTargetGroup
from pipeline.base.quantity import milliseconds


def gateway_backend(main: str, group: GatewayTargetGroup) -> Iterator[str]:
    """Yield the lines of a target group, or of a pool of it, without its targets. `main`: the name of the backend."""
    yield f"backend {main}"
    yield "  option allbackups"
    yield f"  timeout check {milliseconds(group.health_check.timeout)}ms"
    for line in check_lines(group):
        yield f"  {line}"

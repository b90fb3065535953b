"""A target as HAProxy's server, and its twin: the same target, not checked, for when too few are healthy.

A target group fails open: with fewer healthy targets than it needs, all get requests. Where that is one, the twins are
backup servers of the same backend, which HAProxy uses when no other is up, at no cost to a request. Where it is more,
they are in a backend of their own, which the listener chooses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from typing import NamedTuple

from pipeline.balancer.data_plane import WantedGroup, WantedTarget
from pipeline.balancer.haproxy.naming import FUNCTION_SOCKET, fail_open_backend_of
from pipeline.balancer.model import HealthCheck, TargetGroup
from pipeline.base.quantity import milliseconds

# How often a target is asked, at most, that has not passed a check yet: what a deployment waits for.
_MIN_CHECK_INTERVAL = timedelta(milliseconds=50)
FAIL_OPEN_SUFFIX = ":open"
ANOMALY_THRESHOLD = 10
"""Consecutive failures that make a target anomalous."""


class ServerDefinition(NamedTuple):
    """Where a target's server is: its backend, its name, and the words that describe it."""

    backend: str
    name: str
    args: str
    is_checked: bool = False


def server_definitions(group: WantedGroup, target: WantedTarget) -> Iterator[ServerDefinition]:
    """The server of a target, and its twin."""
    settings = group.settings
    address = f"unix@{FUNCTION_SOCKET}" if settings.is_lambda else f"{target.address}:{target.port}"
    common = f"{address} weight 100 pool-purge-delay 1s{_protocol(settings)}"
    cookie = _cookie(settings, target.id)
    checks = f" {_check_args(target.check)}" if target.check else ""
    yield ServerDefinition(
        group.id, target.id, f"{common}{cookie}{checks}{_traffic_args(target, settings)}", bool(target.check)
    )
    if settings.attributes.needs_one_healthy:
        # Without a cookie: with it, clients would stay with a target that has failed.
        yield ServerDefinition(group.id, f"{target.id}{FAIL_OPEN_SUFFIX}", f"{common} backup")
    else:
        yield ServerDefinition(fail_open_backend_of(group.id), target.id, f"{common}{cookie}")


def target_of(name: str) -> str:
    """The target that a server or its twin is meant for."""
    return name.removesuffix(FAIL_OPEN_SUFFIX)


def _protocol(group: TargetGroup) -> str:
    version = "" if group.protocol_version == "HTTP1" else " proto h2"
    alpn = " alpn h2" if version and group.protocol == "HTTPS" else ""
    return f"{version}{' ssl verify none' if group.protocol == 'HTTPS' else ''}{alpn}"


def _cookie(group: TargetGroup, target: str) -> str:
    """What stands for the target in a client's cookie: nobody can tell from it how many there are, or choose."""
    return f" cookie {hashlib.sha256(target.encode()).hexdigest()[:16]}" if group.attributes.stickiness else ""


def _traffic_args(target: WantedTarget, group: TargetGroup) -> str:
    ramp = f" slowstart {group.attributes.slow_start}s" if group.attributes.slow_start and target.ramp else ""
    mitigated = group.attributes.anomaly_mitigation == "on"
    return ramp + (f" observe layer7 error-limit {ANOMALY_THRESHOLD} on-error mark-down" if mitigated else "")


def _check_args(check: HealthCheck) -> str:
    interval, down = (
        milliseconds(check.interval),
        milliseconds(min(check.interval, max(_MIN_CHECK_INTERVAL, check.interval / 10))),
    )
    secure = " verify none" if check.protocol == "HTTPS" else ""
    port = "" if check.port == "traffic-port" else f" port {check.port}"
    # fastinter defaults to inter in the manual, yet HAProxy shortens the interval without it.
    return (
        f"check inter {interval}ms fastinter {interval}ms downinter {down}ms "
        f"rise {check.healthy_threshold} fall {check.unhealthy_threshold}{port}{secure}"
    )

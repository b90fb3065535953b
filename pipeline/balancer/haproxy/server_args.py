"""A target as HAProxy's server, and its twin: the same target, not checked, for when too few are healthy.

A target group fails open: with fewer healthy targets than it needs, all get requests. Where that is one, the twins are
backup servers of the same backend, which HAProxy uses when no other is up, at no cost to a request. Where it is more,
they are in a backend of their own, which the listener chooses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from pipeline.balancer.haproxy.control_socket import ServerState
from pipeline.balancer.haproxy.words import FUNCTION_SOCKET, backend_name, fail_open_backend_name
from pipeline.balancer.model import HealthCheck, TargetGroup
from pipeline.balancer.registry import Registration
from pipeline.base.quantity import milliseconds

# How often a target is asked, at most, that has not passed a check yet: what a deployment waits for.
_LEAST_PACE = timedelta(milliseconds=50)
FAIL_OPEN_SUFFIX = ":open"
ANOMALY_THRESHOLD = 10
"""Consecutive failures that make a target anomalous."""

ServerKey = tuple[str, str]


class ServerDefinition(NamedTuple):
    """Where a target's server is: its backend, its name, and the words that describe it."""

    backend: str
    name: str
    args: str


def server_definitions(
    owner: str, group_name: str, group: TargetGroup, registration: Registration
) -> Iterator[ServerDefinition]:
    """The server of a target, and its twin."""
    backend, target = backend_name(owner, group_name), registration.target
    address = f"unix@{FUNCTION_SOCKET}" if group.is_lambda else f"{target.address}:{target.port}"
    common = f"{address} weight 100 pool-purge-delay 1s{_protocol(group)}"
    cookie = _cookie(group, target.id)
    checks = f" {_check_words(registration.health_check)}" if is_checked(registration, group) else ""
    yield ServerDefinition(backend, target.id, f"{common}{cookie}{checks}{_manners(registration, group)}")
    if group.attributes.needs_one_healthy:
        # Without a cookie: with it, clients would stay with a target that has failed.
        yield ServerDefinition(backend, f"{target.id}{FAIL_OPEN_SUFFIX}", f"{common} backup")
    else:
        yield ServerDefinition(fail_open_backend_name(owner, group_name), target.id, f"{common}{cookie}")


def same_target(name: str, target_id: str) -> bool:
    """Whether a server or its twin is meant for a target."""
    return name.removesuffix(FAIL_OPEN_SUFFIX) == target_id


def by_target(servers: Mapping[ServerKey, ServerState], backend: str) -> dict[str, ServerState]:
    """The server of each target in its group's backend, with what its twin has in flight too."""
    found = {
        name: server for (where, name), server in servers.items() if where == backend and FAIL_OPEN_SUFFIX not in name
    }
    for (where, name), server in servers.items():
        target = name.removesuffix(FAIL_OPEN_SUFFIX)
        if target in found and (where, name) != (backend, target):
            found[target] = replace(found[target], in_flight=found[target].in_flight + server.in_flight)
    return found


def is_checked(registration: Registration, group: TargetGroup) -> bool:
    """Whether the group still asks what this target was registered to answer; the pace may differ by target."""
    now, then = group.health_check, registration.health_check
    return (now.protocol, now.path, now.matcher, now.timeout) == (then.protocol, then.path, then.matcher, then.timeout)


def _protocol(group: TargetGroup) -> str:
    version = "" if group.protocol_version == "HTTP1" else " proto h2"
    alpn = " alpn h2" if version and group.protocol == "HTTPS" else ""
    return f"{version}{' ssl verify none' if group.protocol == 'HTTPS' else ''}{alpn}"


def _cookie(group: TargetGroup, target: str) -> str:
    """What stands for the target in a client's cookie: nobody can tell from it how many there are, or choose."""
    return f" cookie {hashlib.sha256(target.encode()).hexdigest()[:16]}" if group.attributes.stickiness else ""


def _manners(registration: Registration, group: TargetGroup) -> str:
    ramp = f" slowstart {group.attributes.slow_start}s" if group.attributes.slow_start and registration.ramps else ""
    watched = group.attributes.anomaly_mitigation == "on"
    return ramp + (f" observe layer7 error-limit {ANOMALY_THRESHOLD} on-error mark-down" if watched else "")


def _check_words(check: HealthCheck) -> str:
    pace, down = milliseconds(check.interval), milliseconds(min(check.interval, max(_LEAST_PACE, check.interval / 10)))
    secure = " verify none" if check.protocol == "HTTPS" else ""
    port = "" if check.port == "traffic-port" else f" port {check.port}"
    # fastinter defaults to inter in the manual, yet HAProxy shortens the pace without it.
    return (
        f"check inter {pace}ms fastinter {pace}ms downinter {down}ms "
        f"rise {check.healthy_threshold} fall {check.unhealthy_threshold}{port}{secure}"
    )

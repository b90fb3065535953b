"""A target as HAProxy's server, and its fail-open server: the same target, unchecked, used if too few are healthy.

A target group fails open: with fewer healthy targets than it needs, all targets get requests. If it needs one, the
fail-open servers are backup servers of the same backend. HAProxy uses them if no other is up, at no cost per request.
If it needs more, they are in a separate backend, which the listener chooses.

Where clients share connections, a target is also in the backend for that, unchecked: see `repetition`.

With zones, all this is done for each pool of the group, in which the target is checked on its own: HAProxy cannot let a
server follow the checks of another one that was added at run time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Literal, NamedTuple

from pipeline.balancer.data_plane import WantedGroup, WantedTarget
from pipeline.balancer.haproxy.naming import (
    FAIL_OPEN_SUFFIX,
    FUNCTION_SOCKET,
    entry_socket,
    fail_open_backend_of,
    pool_backend,
    shared_backend_of,
)
from pipeline.balancer.haproxy.repetition import shares_connections
from pipeline.balancer.model import ApplicationTargetGroup, HealthCheck, NetworkTargetGroup, TargetGroup
from pipeline.base.quantity import milliseconds

# The shortest interval for a target that has not passed a check yet, which a deployment waits for.
_MIN_CHECK_INTERVAL = timedelta(milliseconds=50)
# Each time, HAProxy closes half of the idle connections that were not needed lately. So none is idle for a second, and
# a target that closes connections after a second or more rarely does so while a request is sent on one.
_PURGE_INTERVAL = "50ms"
CUT_WHEN_DOWN = "on-marked-down shutdown-sessions"
"""The argument of servers whose connections HAProxy cuts when they become unhealthy."""
_MAX_IDENTITY = 2**31 - 1
ANOMALY_THRESHOLD = 10
"""The number of consecutive failures that make a target anomalous."""


class ServerDefinition(NamedTuple):
    """A server line: its backend, its name and the role of the server for its target.

    `checked`: its health is checked. `backup`, `fail_open`: it is used if too few targets are healthy, in the same
    backend or in one for that. `shared`: it is for connections that clients share.
    """

    backend: str
    name: str
    group: WantedGroup
    target: WantedTarget
    role: Literal["checked", "backup", "fail_open", "shared"]

    @property
    def is_checked(self) -> bool:
        """True if HAProxy checks it."""
        return self.role == "checked" and self.target.check is not None

    # Most servers stay as they are, so their arguments are not needed.
    @property
    def args(self) -> str:
        """Its arguments."""
        settings, target = self.group.settings, self.target
        common = f"{_address(self.group, target)} weight {_weight(settings)}{_protocol(settings)}"
        if self.role == "shared":
            return common
        identity = _identity(settings, self.name)
        if self.role == "backup":
            # No cookie, so clients do not stay with a failed target.
            return f"{common}{identity} backup"
        common = f"{common}{identity}{_cookie(settings, target.id)}"
        if self.role == "fail_open":
            return common
        checks = f" {check_args(settings, target.check)}" if target.check else ""
        return f"{common}{checks}{_traffic_args(target, settings)}"


def server_definitions(group: WantedGroup, target: WantedTarget) -> Iterator[ServerDefinition]:
    """Yield the servers of a target in the order in which they open. They close in the opposite order."""
    settings, name = group.settings, target.id
    for pool in group.pools:
        backend = pool_backend(group.id, pool)
        if pool.prefers(target.zone):
            if isinstance(settings, ApplicationTargetGroup) and shares_connections(settings):
                yield ServerDefinition(shared_backend_of(backend), name, group, target, "shared")
            yield ServerDefinition(backend, name, group, target, "checked")
        if not pool.has(target.zone):
            continue
        if settings.attributes.needs_one_healthy:
            yield ServerDefinition(backend, f"{name}{FAIL_OPEN_SUFFIX}", group, target, "backup")
        else:
            yield ServerDefinition(fail_open_backend_of(backend), name, group, target, "fail_open")


def _address(group: WantedGroup, target: WantedTarget) -> str:
    if group.settings.is_lambda:
        return f"unix@{FUNCTION_SOCKET}"
    if group.settings.is_alb:
        return f"unix@{entry_socket(group.owner, target.id, target.port)}"
    return f"{target.address}:{target.port}"


def _weight(group: TargetGroup) -> int:
    """Return the weight, which is the same for all targets of a group.

    A server has 16 points per weight on the ring of a hash. With this many, shares differ by about 6 %. More cost each
    change of a target too much.
    """
    return 16 if isinstance(group, NetworkTargetGroup) and group.attributes.stickiness else 100


def _protocol(group: TargetGroup) -> str:
    is_secure = group.protocol in ("HTTPS", "TLS")
    # With a check by TLS in the backend, HAProxy loads no server without it, also not one that is unchecked.
    verify = " verify none" if is_secure or group.health_check.protocol == "HTTPS" else ""
    secure = f"{' ssl' if is_secure else ''}{verify}"
    if not isinstance(group, ApplicationTargetGroup):
        has_header = isinstance(group, NetworkTargetGroup) and group.has_proxy_header
        return f"{secure}{' send-proxy-v2' if has_header else ''}"
    version = "" if group.protocol_version == "HTTP1" else " proto h2"
    alpn = " alpn h2" if version and is_secure else ""
    return f" pool-purge-delay {_PURGE_INTERVAL}{version}{secure}{alpn}"


def closing_cuts(group: TargetGroup) -> bool:
    """Return whether HAProxy cuts a server's connections when it goes down, as it does then for maintenance too.

    A group of an application load balancer has no other target, so it fails open and keeps its connections.
    """
    if not isinstance(group, NetworkTargetGroup) or group.is_alb:
        return False
    return group.attributes.unhealthy_connection_termination


def has_identities(group: TargetGroup) -> bool:
    """Return whether the arguments of the group's servers have an `id`.

    The table of application cookies refers to servers by id. Without this argument, HAProxy reuses the id of a deleted
    server, and the next server would get all clients of its predecessor. A hash of the client's address chooses servers
    by their ids too, and a reload would number them again.
    """
    if isinstance(group, ApplicationTargetGroup):
        return group.attributes.stickiness and group.attributes.stickiness_type == "app_cookie"
    # HAProxy only checks the targets of gateway load balancers, and chooses none.
    return isinstance(group, NetworkTargetGroup) and group.attributes.stickiness


def _identity(group: TargetGroup, name: str) -> str:
    if not has_identities(group):
        return ""
    return f" id {int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) % _MAX_IDENTITY + 1}"


def _cookie(group: TargetGroup, target: str) -> str:
    """Return the cookie argument. The value is a hash, so clients cannot count targets or choose one."""
    has_cookie = isinstance(group, ApplicationTargetGroup) and group.attributes.stickiness
    return f" cookie {hashlib.sha256(target.encode()).hexdigest()[:16]}" if has_cookie else ""


def _traffic_args(target: WantedTarget, group: TargetGroup) -> str:
    if not isinstance(group, ApplicationTargetGroup):
        return f" {CUT_WHEN_DOWN}" if closing_cuts(group) else ""
    ramp = f" slowstart {group.attributes.slow_start}s" if group.attributes.slow_start and target.ramp else ""
    mitigated = group.attributes.anomaly_mitigation == "on"
    return ramp + (f" observe layer7 error-limit {ANOMALY_THRESHOLD} on-error mark-down" if mitigated else "")


def check_args(group: TargetGroup, check: HealthCheck) -> str:
    """Return the arguments of a server that is checked."""
    # No deployment waits for a load balancer, and it logs each check.
    sooner = check.interval if group.is_alb else max(_MIN_CHECK_INTERVAL, check.interval / 10)
    interval, down = milliseconds(check.interval), milliseconds(min(check.interval, sooner))
    port = "" if check.port == "traffic-port" else f" port {check.port}"
    # The manual says that fastinter defaults to inter, but HAProxy checks faster without it.
    return (
        f"check inter {interval}ms fastinter {interval}ms downinter {down}ms "
        f"rise {check.healthy_threshold} fall {check.unhealthy_threshold}{port}"
    )

"""The registry as an HAProxy configuration.

Paths in it are relative to the balancer's directory, which is HAProxy's working directory: so no path needs
quoting, and none can be too long for a socket.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from datetime import timedelta

from pipeline.balancer.model import Declaration, HealthCheck, Listener, LoadBalancer, TargetGroup
from pipeline.balancer.registry import Phase, Registration, Registry
from pipeline.quantity import milliseconds

WORKER_SOCKET = "worker.sock"
MASTER_SOCKET = "master.sock"
STATE_FILE = "servers.state"
LOG_DESCRIPTOR = 3

# How often a target is asked, at most, that has not passed a check yet: what a deployment waits for.
_LEAST_PACE = timedelta(milliseconds=50)

# One thread saturates a core at about 85,000 small requests a second, and a second thread makes each request
# dearer by about a tenth; more than four only helps machines that this project is not made for.
_THREADS = max(1, min(4, (os.cpu_count() or 1) // 2))

_HEAD = f"""\
global
  description {{fingerprint}}
  log fd@{LOG_DESCRIPTOR} format raw local0
  stats socket unix@{WORKER_SOCKET} mode 600 level admin expose-fd listeners
  server-state-file {STATE_FILE}
  nbthread {_THREADS}
  maxconn 20000
  no strict-limits
  noreuseport
  hard-stop-after 24h

defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  timeout queue 10s
  load-server-state-from-file global
  option idle-close-on-response
  option redispatch 1
  retries 3
  retry-on conn-failure empty-response
  default-server pool-purge-delay 1s
"""

_LOG_FORMAT = (
    "http %Tl %f %ci:%cp %si:%sp %TR %Tw %Tc %Tr %Ta %ST %U %B "
    '\\"%HM\\ %HU\\ %HV\\" \\"%[capture.req.hdr(0)]\\" %b %s %tsc %rc'
)


def backend_name(owner: str, group: str) -> str:
    """The HAProxy backend that carries a target group. Names hold no dot, so this is unique."""
    return f"{owner}.{group}"


def fingerprint(registry: Registry) -> str:
    """Identifies the configuration, targets aside: a running HAProxy shows it, so drift can be seen."""
    bare = {name: owned.model_copy(update={"targets": {}}) for name, owned in registry.owners.items()}
    return hashlib.sha256(_render(Registry(owners=bare), "").encode()).hexdigest()[:16]


def render(registry: Registry) -> str:
    """The whole configuration, with the targets that are in service."""
    return _render(registry, fingerprint(registry))


def _render(registry: Registry, description: str) -> str:
    lines = [_HEAD.format(fingerprint=description)]
    for owner, owned in sorted(registry.owners.items()):
        for name, balancer in sorted(owned.declaration.load_balancers.items()):
            for listener in balancer.listeners:
                lines.extend(_frontend(owner, name, balancer, listener))
        for name, group in sorted(owned.declaration.target_groups.items()):
            lines.extend(_backend(owner, name, group, _idle_timeout(owned.declaration)))
            lines.extend(
                f"  server {server_line(registration, group)}"
                for registration in owned.targets.get(name, ())
                if registration.phase is Phase.IN_SERVICE
            )
            lines.append("")
    return "\n".join(lines)


def server_line(registration: Registration, group: TargetGroup) -> str:
    """A target as HAProxy's `server` and `add server` take it."""
    target, check = registration.target, registration.health_check
    words = [target.id, f"{target.address}:{target.port}", "weight 100", "pool-purge-delay 1s"]
    if is_checked(registration, group):
        words.append(_check_words(check))
    return " ".join(words)


def is_checked(registration: Registration, group: TargetGroup) -> bool:
    """Whether the group still asks what this target was registered to answer; the pace may differ by target."""
    now, then = group.health_check, registration.health_check
    return (now.protocol, now.path, now.matcher, now.timeout) == (
        then.protocol,
        then.path,
        then.matcher,
        then.timeout,
    )


def _check_words(check: HealthCheck) -> str:
    pace, down = milliseconds(check.interval), milliseconds(min(check.interval, max(_LEAST_PACE, check.interval / 10)))
    port = "" if check.port == "traffic-port" else f" port {check.port}"
    # fastinter defaults to inter in the manual, yet HAProxy shortens the pace without it.
    return (
        f"check inter {pace}ms fastinter {pace}ms downinter {down}ms "
        f"rise {check.healthy_threshold} fall {check.unhealthy_threshold}{port}"
    )


def _frontend(owner: str, name: str, balancer: LoadBalancer, listener: Listener) -> Iterator[str]:
    address = "*" if balancer.scheme == "internet-facing" else "127.0.0.1"
    idle = milliseconds(balancer.idle_timeout)
    relay = f"relay.{listener.port}"
    yield f"backend {relay}"
    yield f"  timeout server {idle}ms"
    yield f"  server successor unix@{relay}.sock send-proxy-v2"
    yield ""
    yield f"frontend {owner}.{name}.{listener.port}"
    yield f"  bind {address}:{listener.port}"
    yield f"  bind unix@{relay}.sock accept-proxy mode 600"
    yield f"  timeout client {idle}ms"
    yield f"  timeout http-request {idle}ms"
    yield "  log global"
    yield "  declare capture request len 128"
    yield "  http-request capture req.hdr(user-agent) id 0"
    yield f'  log-format "{_LOG_FORMAT}"'
    # A request that may have had an effect is not sent twice, unless its client says that the server knows a
    # second one by its key. To one that never left us, this does not apply.
    # A worker that a reload has replaced keeps its idle connections, and cannot be told of targets any more: a request
    # that comes on one of them goes to its successor, which knows, as if it had come there.
    yield "  acl replaced stopping -m bool"
    yield f"  use_backend {relay} if replaced"
    yield "  acl keyed req.hdr(idempotency-key) -m found"
    yield "  http-request disable-l7-retry if { method POST PATCH CONNECT } !keyed"
    # Only what is here as a whole, or fills a buffer, can be sent again: headers that come first wait for their body.
    yield f"  http-request wait-for-body time {idle}ms if {{ method PUT DELETE }} or keyed"
    yield "  http-request set-var(txn.xff) req.hdr(x-forwarded-for)"
    yield '  http-request set-header X-Forwarded-For "%[var(txn.xff)], %[src]" if { var(txn.xff) -m found } !replaced'
    yield "  http-request set-header X-Forwarded-For %[src] if !{ var(txn.xff) -m found } !replaced"
    yield "  http-request set-header X-Forwarded-Proto http"
    yield "  http-request set-header X-Forwarded-Port %[dst_port]"
    yield f"  default_backend {backend_name(owner, listener.default_action.forward)}"
    yield ""


def _backend(owner: str, name: str, group: TargetGroup, idle: timedelta) -> Iterator[str]:
    check = group.health_check
    yield f"backend {backend_name(owner, name)}"
    yield "  balance roundrobin"
    yield f"  timeout server {milliseconds(idle)}ms"
    yield f"  timeout check {milliseconds(check.timeout)}ms"
    if check.protocol == "HTTP":
        yield "  option httpchk"
        yield (
            f"  http-check send meth GET uri {_quote(check.path)} ver HTTP/1.1 hdr Host localhost "
            "hdr User-Agent ELB-HealthChecker/2.0 hdr Connection close"
        )
        yield f"  http-check expect status {check.matcher}"


def _quote(text: str) -> str:
    """A word HAProxy takes literally: within single quotes nothing is special but the quote itself."""
    return "'" + text.replace("'", "'\\''") + "'"


def _idle_timeout(declaration: Declaration) -> timedelta:
    return max(balancer.idle_timeout for balancer in declaration.load_balancers.values())

"""Names that HAProxy's configuration and the code around it share: backends, sockets, headers, descriptors."""

from __future__ import annotations

WORKER_SOCKET = "worker.sock"
MASTER_SOCKET = "master.sock"
# The socket of the process that holds HAProxy's listening sockets.
HOLDER_SOCKET = "holder.sock"
LOG_DESCRIPTOR = 3
# HAProxy sends a datagram here for each server that goes up or down.
STATE_SOCKET = "state.sock"
# And here for servers of network load balancers.
FLOW_STATE_SOCKET = "flow-state.sock"
FAIL_OPEN_SUFFIX = ":open"
"""Ends the name of the server that a target has for the case that too few targets are healthy."""
_FAIL_OPEN_BACKEND_SUFFIX = ".open"
SHARED_SUFFIX = ".shared"
"""Ends the name of the backend in which clients share connections to the targets of a group."""
# A map: backend → number of healthy targets that it needs.
THRESHOLDS = "thresholds.map"
# Seconds that browsers keep the load balancer's cookies. The cookie's value holds the time until which it counts.
COOKIE_AGE = 7 * 86400
# The adapter of functions listens here. HAProxy names the chosen group and target in the first two headers, replacing
# what a client sent in them. A health check that only tests for reachability sends the third.
FUNCTION_SOCKET = "functions.sock"
FUNCTION_GROUP = "X-Penstock-Group"
FUNCTION_TARGET = "X-Penstock-Target"
FUNCTION_CHECK = "X-Penstock-Check"


def backend_name(owner: str, group: str) -> str:
    """Return the backend of a target group. Names hold no dot, so it is unique."""
    return f"{owner}.{group}"


def fail_open_backend_of(backend: str) -> str:
    """Return the fail-open backend that belongs to a group's backend."""
    return f"{backend}{_FAIL_OPEN_BACKEND_SUFFIX}"


def shared_backend_of(backend: str) -> str:
    """Return the backend in which clients share connections to the targets of a group's backend."""
    return f"{backend}{SHARED_SUFFIX}"


def group_of(backend: str) -> str:
    """Return the target group of any of its backends. No name in it holds a dot."""
    return backend.rpartition(".")[0] if backend.count(".") == 2 else backend


def target_of(name: str) -> str:
    """Return the target of a server or a fail-open server."""
    return name.removesuffix(FAIL_OPEN_SUFFIX)

"""Names that HAProxy's configuration and the code around it share: backends, sockets, headers, descriptors."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # The flow agent, which is to stay small, imports this module.
    from pipeline.balancer.pools import Pool

WORKER_SOCKET = "worker.sock"
MASTER_SOCKET = "master.sock"
# The socket of the process that holds HAProxy's listening sockets.
HOLDER_SOCKET = "holder.sock"
_ENTRY_PREFIX = "entry."
LOG_DESCRIPTOR = 3
# HAProxy sends a datagram here for each server that goes up or down.
STATE_SOCKET = "state.sock"
# And here for servers of network load balancers.
FLOW_STATE_SOCKET = "flow-state.sock"
# And here for those of gateway load balancers.
GATEWAY_STATE_SOCKET = "gateway-state.sock"
FAIL_OPEN_SUFFIX = ":open"
"""Ends the name of the server that a target has for the case that too few targets are healthy."""
_FAIL_OPEN_BACKEND_SUFFIX = ".open"
_HOLDING_BACKEND_SUFFIX = ".held"
_ZONE_PREFIX, _AWAY_PREFIX = "_", "__"
SHARED_SUFFIX = ".shared"
"""Ends the name of the backend in which clients share connections to the targets of a group."""
# Backends of target groups that are used in zones, one a line. They are in no file if there are none.
POOLS = "pools.list"
# A map: backend → number of healthy targets that it needs.
THRESHOLDS = "thresholds.map"
# Ends of the names of maps whose keys are hosts, paths and numbers of rules, so no content of them is invalid.
PLAIN_MAPS = (".keys.map", ".prefixes.map", ".actions.map")
# Seconds that browsers keep the load balancer's cookies. The cookie's value holds the time until which it counts.
COOKIE_AGE = 7 * 86400
# The adapter of functions listens here. HAProxy names the chosen group and target in the first two headers, replacing
# what a client sent in them. A health check that only tests for reachability sends the third.
FUNCTION_SOCKET = "functions.sock"
FUNCTION_GROUP = "X-Penstock-Group"
FUNCTION_TARGET = "X-Penstock-Target"
FUNCTION_CHECK = "X-Penstock-Check"
# The activator gets its commands here, and the requests of a group at a socket of the group.
ACTIVATOR_SOCKET = "activator.sock"
ACTIVATOR_FOLDER = "activator"
"""Holds the files of each activator, whose names end with that of its process. It removes those of ended ones."""
CONTROL_PREFIX = "control."
"""Begins the name of the socket at which an activator gets commands until it exits, also after another has replaced it.

Files of a target group have names with two dots.
"""
HOLDING_SERVER = "held"
"""The name of the server by which HAProxy reaches the activator."""
MAX_HELD = 1000
"""The number of requests of a target group that are held at most."""


def backend_name(owner: str, group: str) -> str:
    """Return the backend of a target group. Names hold no dot, so it is unique."""
    return f"{owner}.{group}"


def pool_backend(group: str, pool: Pool) -> str:
    """Return the backend of a pool of a target group. Names of groups and zones hold no underscore, so it is unique.

    The pool of every target has the group's own name.
    """
    zones = "".join(f"{_ZONE_PREFIX}{zone}" for zone in pool.zones or ())
    return f"{group}{zones}{_AWAY_PREFIX}{pool.away}" if pool.away else f"{group}{zones}"


def entry_socket(owner: str, balancer: str, port: int) -> str:
    """Return the socket by which network load balancers reach a listener of an application load balancer."""
    return f"{_ENTRY_PREFIX}{owner}.{balancer}.{port}.sock"


def fail_open_backend_of(backend: str) -> str:
    """Return the fail-open backend that belongs to a group's backend."""
    return f"{backend}{_FAIL_OPEN_BACKEND_SUFFIX}"


def shared_backend_of(backend: str) -> str:
    """Return the backend in which clients share connections to the targets of a group's backend."""
    return f"{backend}{SHARED_SUFFIX}"


def holding_backend_of(backend: str) -> str:
    """Return the backend by which the activator gets the requests of a group's backend that has no target."""
    return f"{backend}{_HOLDING_BACKEND_SUFFIX}"


def is_holding(backend: str) -> bool:
    """Return whether requests of a backend are held until the group has a target."""
    return backend.endswith(_HOLDING_BACKEND_SUFFIX)


def holding_socket(group: str) -> str:
    """Return the socket at which the activator gets the requests of a target group."""
    return f"held.{group}.sock"


def group_of(backend: str) -> str:
    """Return the target group of any of its backends. No name in it holds a dot or an underscore."""
    name = backend.partition(_ZONE_PREFIX)[0]
    return name.rpartition(".")[0] if name.count(".") == 2 else name


def target_of(name: str) -> str:
    """Return the target of a server or a fail-open server."""
    return name.removesuffix(FAIL_OPEN_SUFFIX)

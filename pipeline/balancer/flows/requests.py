"""The requests that the flow agent answers, and its client."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.base.errors import BalancerFault
from pipeline.base.sockets import connection_to

if TYPE_CHECKING:
    from pipeline.balancer.flows.flow_keeper import FlowKeeper

SOCKET = "flows.sock"
# Seconds. A client sends its request at once, and the agent answers one after the other.
_REQUEST_TIMEOUT, _RESPONSE_TIMEOUT = 2.0, 10.0
_MAX_REQUEST = 4096


def answer(connection: socket.socket, keeper: FlowKeeper) -> bool:
    """Answer one request of a client. Return whether it was `stop`. Raises `OSError` if the client is gone.

    A client that only tests whether the agent listens sends nothing.
    """
    connection.settimeout(_REQUEST_TIMEOUT)
    with connection.makefile("rb") as lines:
        line = lines.readline(_MAX_REQUEST)
    if not line:
        return False
    do, response = "", dict[str, object]()
    try:
        request = json.loads(line)
        do = request["do"]
        response = {"found": _carry_out(request, keeper)}
    except BalancerFault as fault:
        response = {"fault": fault.message, "hint": fault.hint}
    except (ValueError, TypeError, KeyError):
        response = {"fault": "not a request of the flow agent", "hint": None}
    connection.settimeout(_RESPONSE_TIMEOUT)
    connection.sendall(json.dumps(response).encode() + b"\n")
    return "found" in response and do == "stop"


def _carry_out(request: Mapping[str, Any], keeper: FlowKeeper) -> object:
    match request["do"]:
        case "facts":
            return keeper.facts(exact="exact" in request)
        case "counts":
            return {"traffic": keeper.traffic(), "facts": keeper.facts()}
        case "left":
            return keeper.left
        case "sync":
            keeper.sync()
        case "cut":
            keeper.cut(request["group"], request["target"])
        case "stop":
            keeper.clear()
    # `ping` only shows that the agent responds.
    return {}


def ask(directory: Path, do: str, timeout: float = _RESPONSE_TIMEOUT, **arguments: str) -> Any:
    """Send a request to the agent of a directory and return what it found. `timeout` in seconds.

    `do`: ping, facts, counts, left, sync, cut or stop. With `exact`, facts count all flows now, which may take seconds
    on a busy machine. Raises `BalancerFault` if the agent does not respond, or with the reason for which it failed.
    """
    try:
        with connection_to(directory, SOCKET, timeout) as connection:
            connection.sendall(json.dumps({"do": do, **arguments}).encode() + b"\n")
            with connection.makefile("rb") as lines:
                response = json.loads(lines.readline())
    except (OSError, ValueError) as error:
        raise BalancerFault(f"the flow agent does not respond: {error}") from error
    if "fault" in response:
        raise BalancerFault(response["fault"], hint=response["hint"])
    return response["found"]

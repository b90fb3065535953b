"""The requests that an agent answers, and its client."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.balancer.agent.keeper import Keeper
from pipeline.base.errors import BalancerFault
from pipeline.base.sockets import connection_to

# Seconds. A client sends its request at once, and the agent answers one after the other.
_REQUEST_TIMEOUT, _RESPONSE_TIMEOUT = 2.0, 10.0
_MAX_REQUEST = 4096


def answer(connection: socket.socket, keeper: Keeper) -> bool:
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
        response = {"fault": "not a request of this agent", "hint": None}
    connection.settimeout(_RESPONSE_TIMEOUT)
    connection.sendall(json.dumps(response).encode() + b"\n")
    return "found" in response and do == "stop"


def _carry_out(request: Mapping[str, Any], keeper: Keeper) -> object:
    match request["do"]:
        case "ping":
            # It only shows that the agent responds.
            pass
        case "sync":
            keeper.sync()
        case "stop":
            keeper.clear()
        case _:
            return keeper.answer(request)
    return {}


class AgentClient:
    """Sends requests to the agent of a balancer directory. `name`: that of its socket. `title` names it in messages."""

    def __init__(self, directory: Path, name: str, title: str) -> None:
        self._directory = directory
        self._name = name
        self._title = title

    def ask(self, do: str, timeout: float = _RESPONSE_TIMEOUT, **arguments: str) -> Any:
        """Send a request and return what the agent found. `timeout` in seconds.

        `do`: ping, sync or stop, or a request of its keeper. Raises `BalancerFault` if the agent does not respond, or
        with the reason for which it failed.
        """
        try:
            with connection_to(self._directory, self._name, timeout) as connection:
                connection.sendall(json.dumps({"do": do, **arguments}).encode() + b"\n")
                with connection.makefile("rb") as lines:
                    response = json.loads(lines.readline())
        except (OSError, ValueError) as error:
            raise BalancerFault(f"the {self._title} does not respond: {error}") from error
        if "fault" in response:
            raise BalancerFault(response["fault"], hint=response["hint"])
        return response["found"]

    def responds(self, timeout: float) -> bool:
        """Return whether the agent answers in time."""
        try:
            self.ask("ping", timeout)
        except BalancerFault:
            return False
        return True

"""The activator as a process beside HAProxy."""

from __future__ import annotations

from pathlib import Path

from pipeline.balancer.companion import Companion
from pipeline.balancer.haproxy.naming import ACTIVATOR_SOCKET
from pipeline.base.errors import BalancerFault
from pipeline.base.sockets import connection_to

_TIMEOUT = 10.0


def activator(directory: Path) -> Companion:
    """Return the activator of one balancer directory."""
    return Companion(
        directory,
        title="activator",
        name="activator",
        module="pipeline.balancer.haproxy.activator.server",
        socket_name=ACTIVATOR_SOCKET,
    )


def command(directory: Path, text: str) -> None:
    """Let the activator execute a command, `sync` or `abort ENDPOINT`. It is done on return.

    Raises `BalancerFault` if the activator does not respond.
    """
    try:
        with connection_to(directory, ACTIVATOR_SOCKET, _TIMEOUT) as connection:
            connection.sendall(f"{text}\n".encode())
            if connection.recv(16) == b"done\n":
                return
            reason = "it closed the connection"
    except OSError as error:
        reason = error.strerror or str(error)
    raise BalancerFault(f"the activator does not respond: {reason}")

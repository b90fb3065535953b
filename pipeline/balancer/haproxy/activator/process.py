"""The activator as a process beside HAProxy."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pipeline.balancer.companion import Companion
from pipeline.balancer.haproxy.naming import ACTIVATOR_FOLDER, ACTIVATOR_SOCKET, CONTROL_PREFIX
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


def abort(directory: Path, endpoint: str) -> None:
    """Let all activators close what they have passed on to an endpoint, also those that an upgrade has replaced.

    One that does not respond is left out.
    """
    for path in (directory / ACTIVATOR_FOLDER).glob(f"{CONTROL_PREFIX}*"):
        with suppress(BalancerFault):
            command(directory, f"abort {endpoint}", f"{ACTIVATOR_FOLDER}/{path.name}")


def command(directory: Path, text: str, name: str = ACTIVATOR_SOCKET) -> None:
    """Let the activator at a socket execute a command, `sync` or `abort ENDPOINT`. It is done on return.

    Raises `BalancerFault` if the activator does not respond.
    """
    try:
        with connection_to(directory, name, _TIMEOUT) as connection:
            connection.sendall(f"{text}\n".encode())
            if connection.recv(16) == b"done\n":
                return
            reason = "it closed the connection"
    except OSError as error:
        reason = error.strerror or str(error)
    raise BalancerFault(f"the activator does not respond: {reason}")

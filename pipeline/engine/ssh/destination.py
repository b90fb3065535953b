"""The IP address of a machine that ssh connects to."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Mapping

from pipeline.base.errors import EngineFault
from pipeline.base.program import run_program
from pipeline.engine.ssh.faults import no_program, ssh_fault
from pipeline.engine.ssh_address import SshAddress

_TIMEOUT = 15.0


def destination_of(name: str, address: SshAddress, environment: Mapping[str, str]) -> str:
    """Return the IP address that the name of a host means, after ~/.ssh/config. Connects to nothing.

    Raises `EngineFault` if ssh refuses its configuration, and if the name is unknown here, as behind a jump host.
    """
    host = _host_name(name, address, environment)
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise EngineFault(
            f"host {name} ({address}): the name {host} is unknown on this machine: {error}",
            hint="set `address` of the host to the IP address at which this machine reaches it",
        ) from error
    return str(found[0][4][0])


def _host_name(name: str, address: SshAddress, environment: Mapping[str, str]) -> str:
    program = shutil.which("ssh", path=environment.get("PATH"))
    if program is None:
        raise no_program(name, address)
    try:
        done = run_program([program, "-G", *address.destination], _TIMEOUT, environment)
    except (OSError, TimeoutError) as error:
        raise EngineFault(f"host {name} ({address}): ssh cannot be asked for its address: {error}") from error
    if done.code:
        raise ssh_fault(name, address, done.complaint())
    lines = (line.partition(" ") for line in done.stdout.decode(errors="replace").splitlines())
    return next((value for key, _, value in lines if key == "hostname"), address.host)

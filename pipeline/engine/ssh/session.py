"""A command on a machine that is reached by SSH."""

from __future__ import annotations

from pipeline.engine.ssh_address import SshAddress

# The user's configuration, agent and known hosts apply, except to what Penstock itself needs.
OPTIONS = (
    "-T",
    "-a",
    "-x",
    *("-o", "BatchMode=yes"),
    *("-o", "ConnectTimeout=10"),
    *("-o", "LogLevel=INFO"),
    # A connection that another ssh shares would end with that one.
    *("-o", "ControlMaster=no"),
    *("-o", "ControlPath=none"),
    *("-o", "PermitLocalCommand=no"),
    *("-o", "RemoteCommand=none"),
)
"""The options of every `ssh` that Penstock starts."""


def ssh_command(address: SshAddress, script: str) -> tuple[str, ...]:
    """Return the command that runs a shell script there."""
    return ("ssh", *OPTIONS, *address.destination, script)

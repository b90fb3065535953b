"""The command with which git connects over SSH: the user's own, and one that never asks a question."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import PurePath

# ssh takes the first value of an option, so those of the user's command win.
_OPTIONS = "-o BatchMode=yes -o ConnectTimeout=20"
# After one of these, an option would belong to another command, or to none.
_COMPOUND = re.compile(r"[;&|<>()#`\n]")


def ssh_command(environment: Mapping[str, str], configured: str | None = None) -> str:
    """Return the value of GIT_SSH_COMMAND. `configured` is the user's `core.sshCommand`.

    The order is git's. Options are added to a command that is ssh. Any other one is kept as it is.
    """
    command = environment.get("GIT_SSH_COMMAND") or configured
    if not command:
        # GIT_SSH names a program. GIT_SSH_COMMAND is run by a shell.
        command = shlex.quote(environment.get("GIT_SSH") or "ssh")
    return f"{command} {_OPTIONS}" if _is_ssh(command) else command


def _is_ssh(command: str) -> bool:
    try:
        words = shlex.split(command)
    except ValueError:
        return False
    program = next((word for word in words if not re.match(r"\w+=", word)), "")
    return PurePath(program).name == "ssh" and not _COMPOUND.search(command)

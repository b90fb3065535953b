"""SSH servers of tests and examples, with keys and configuration of their own, and an `ssh` that knows only them."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from pipeline.testing.machines.machine import COMMAND_TIMEOUT

_SEARCHED = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"
_SERVER = """\
Port {port}
ListenAddress {address}
HostKey {folder}/host
PidFile none
AuthorizedKeysFile {folder}/user.pub
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
{more}
"""
_CLIENT = """\
Host {pattern}
  HostName {address}
  Port {port}
  User root
  IdentityFile {folder}/user
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
"""


def missing_program() -> str:
    """Return the name of a program for SSH that is not installed, or an empty text."""
    names = ("ssh", "ssh-keygen", "sshd")
    return next((name for name in names if not shutil.which(name, path=_SEARCHED)), "")


class SshAccess:
    """A host key and a user key in `folder`. All servers have the same host key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known_hosts = folder / "known_hosts"
        self._client = folder / "client"
        folder.mkdir(exist_ok=True)
        for name in ("host", "user"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)],
                check=True,
                timeout=COMMAND_TIMEOUT,
            )

    @property
    def environment(self) -> dict[str, str]:
        """An environment in which `ssh` has its configuration from here and not from the user."""
        programs = self.folder / "bin"
        if not programs.exists():
            programs.mkdir()
            command = shlex.join([shutil.which("ssh", path=_SEARCHED) or "ssh", "-F", str(self._client)])
            (programs / "ssh").write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            (programs / "ssh").chmod(0o700)
        return {**os.environ, "PATH": f"{programs}:{os.environ.get('PATH', os.defpath)}"}

    def server(self, address: str, port: int, more: str = "") -> list[str]:
        """Return the command of a server at an address, which runs until it is killed.

        `more` are lines of its configuration. It needs the empty folder `/run/sshd`.
        """
        file = self.folder / f"server-{address}-{port}"
        file.write_text(_SERVER.format(address=address, port=port, folder=self.folder, more=more))
        program = shutil.which("sshd", path=_SEARCHED)
        assert program is not None
        return [program, "-D", "-e", "-f", str(file)]

    def add(self, pattern: str, address: str, port: int) -> None:
        """Let clients reach a server under host names, and expect its host key."""
        with self._client.open("a") as file:
            file.write(_CLIENT.format(pattern=pattern, address=address, port=port, folder=self.folder))
        with self.known_hosts.open("a") as file:
            file.write(known_host(address, port, (self.folder / "host.pub").read_text()))


def known_host(address: str, port: int, key: str) -> str:
    """Return the line of a server in a file of known hosts."""
    return f"{address if port == 22 else f'[{address}]:{port}'} {key}"

"""A real SSH server on loopback, with keys and a configuration of its own, and an `ssh` that knows it as `app1`."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.testing.machines.ssh import SshAccess, known_host, missing_program
from tests.support.ports import free_port
from tests.support.waiting import COMMAND_TIMEOUT, listens, until

# Of the package. The server refuses to start without it.
_EMPTY_FOLDER = Path("/run/sshd")


def obstacle() -> str:
    """Return what keeps this machine from running an SSH server of a test, or an empty text."""
    if os.geteuid() != 0:
        return "an SSH server of a test needs root"
    missing = missing_program()
    return f"{missing} is not installed" if missing else ""


class SshServer:
    """An SSH server in `folder`. `more` are lines of its configuration. `start` and `stop` may be repeated."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.folder = folder
        self.port = free_port()
        self.tunnels = folder / "hosts"
        """A folder for tunnels, with a short path."""
        self._process: subprocess.Popen[bytes] | None = None
        self._access = SshAccess(folder)
        self._access.add("app*", "127.0.0.1", self.port)
        self._command = self._access.server("127.0.0.1", self.port, more)
        self.known_hosts = self._access.known_hosts

    @property
    def environment(self) -> dict[str, str]:
        """An environment in which `ssh` has its configuration from here and not from the user."""
        return self._access.environment

    def know(self, key: str) -> None:
        """Let clients expect this host key."""
        self.known_hosts.write_text(known_host("127.0.0.1", self.port, key))

    def start(self) -> None:
        """Start the server. Returns when it listens."""
        _EMPTY_FOLDER.mkdir(exist_ok=True, mode=0o755)
        with (self.folder / "log").open("ab") as log:
            # Its sessions end with it.
            command = ["unshare", "--pid", "--fork", "--kill-child", *self._command]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until(lambda: listens(self.port), "the SSH server")

    def stop(self) -> None:
        """Kill the server with its sessions. Their connections are closed."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=COMMAND_TIMEOUT)
            self._process = None
            until(lambda: not listens(self.port), "the end of the SSH server")

    def freeze(self) -> None:
        """Stop the server and its sessions as a cut cable would: connections stay and nothing responds."""
        for pid in self._processes():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue after `freeze`."""
        for pid in self._processes():
            os.kill(pid, signal.SIGCONT)

    def _processes(self) -> list[int]:
        assert self._process is not None
        found, unseen = list[int](), [self._process.pid]
        while unseen:
            children = Path(f"/proc/{unseen[0]}/task/{unseen.pop(0)}/children").read_text().split()
            found += map(int, children)
            unseen += map(int, children)
        return found


@contextmanager
def ssh_server(folder: Path, more: str = "") -> Iterator[SshServer]:
    """Run an SSH server. Without one the test is skipped. In CI it fails."""
    if reason := obstacle():
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    server = SshServer(folder, more)
    try:
        server.start()
        yield server
    finally:
        server.stop()

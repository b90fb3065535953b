"""Start, upgrade and stop of a process beside HAProxy. Like HAProxy, it runs while Penstock is stopped.

Its cwd is the balancer's directory, where it listens on a Unix socket. It exits after SIGTERM.
"""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path

from pipeline.balancer.environment import child_environment
from pipeline.base.errors import BalancerFault
from pipeline.base.files import write_atomically
from pipeline.base.lock import is_stopped, resume_stopped
from pipeline.base.small_file import read_small_file
from pipeline.base.sockets import connection_to

_START_TIMEOUT = 10.0
_BACKLOG_TIMEOUT = 30.0
# The package whose modules a companion may import.
_CODE = Path(__file__).resolve().parents[1]
# The kernel's credentials of a listening process: process, user and group id.
_CREDENTIALS = struct.Struct("3i")


class Companion:
    """The process of one balancer directory that runs `module`, with its socket, its pid file and its log.

    `title` names it in messages. The files are `name`.pid and `name`.log.
    """

    def __init__(self, directory: Path, *, title: str, name: str, module: str, socket_name: str) -> None:
        self._directory = directory
        self._title = title
        self._module = module
        self._socket = socket_name
        self._pid_file = directory / f"{name}.pid"
        self._log = directory / f"{name}.log"

    def running(self) -> int | None:
        """Return the process that accepts requests, or None."""
        try:
            with connection_to(self._directory, self._socket, _START_TIMEOUT) as connection:
                credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
                return int(_CREDENTIALS.unpack(credentials)[0])
        except OSError:
            return None

    def is_started(self) -> bool:
        """Return whether the process was started and not ended by `stop` or `kill`. Asks the process nothing."""
        return self._pid_file.exists() or (self._directory / self._socket).exists()

    def stopped(self) -> tuple[int, ...]:
        """Return the process, if a signal has stopped it. Its socket still accepts connections."""
        pid = self.started()
        return (pid,) if pid and is_stopped(pid) else ()

    def resume(self) -> tuple[int, ...]:
        """Continue the process if a signal has stopped it, and return it."""
        return resume_stopped(self.stopped())

    def wait_for_end(self, pid: int) -> None:
        """Wait until a replaced process has finished its requests, for at most `_BACKLOG_TIMEOUT` seconds."""
        deadline = time.monotonic() + _BACKLOG_TIMEOUT
        while self._is_ours(pid) and time.monotonic() < deadline:
            time.sleep(0.01)

    def ensure_current(self) -> None:
        """Start the process if it does not respond, or replace it if it runs other code, as after an upgrade.

        The new process gets all requests from now on. The previous one exits after its open requests. Raises
        `BalancerFault` if it does not start.
        """
        previous = self.running()
        if previous is None:
            self.stop()
            self._start()
        elif self._written() != [str(previous), fingerprint()]:
            self._start()
            _signal(previous, signal.SIGTERM)

    def stop(self) -> None:
        """Make the process exit after its open requests. Does nothing if it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process. Does nothing if it does not run."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if pid := self.started():
            _signal(pid, number)
        self._pid_file.unlink(missing_ok=True)
        (self._directory / self._socket).unlink(missing_ok=True)

    def _is_ours(self, pid: int) -> bool:
        """Return whether a process is one of this directory. The pid may be reused, so its cwd is compared."""
        try:
            return Path(f"/proc/{pid}/cwd").resolve(strict=True) == self._directory.resolve()
        except OSError:
            return False

    def started(self) -> int | None:
        """Return the process that was started last, or None if it does not exist any more."""
        found = self._written()
        pid = int(found[0]) if found and found[0].isdigit() else 0
        return pid if pid and self._is_ours(pid) else None

    def _written(self) -> list[str]:
        """Return the process that was started last and its fingerprint. Empty if unknown."""
        try:
            return read_small_file(str(self._pid_file)).decode().split()
        except (OSError, UnicodeDecodeError):
            return []

    def _start(self) -> None:
        """Start a process, which takes over the socket of a previous one."""
        version = fingerprint()
        pid = self._spawn()
        deadline = time.monotonic() + _START_TIMEOUT
        while self.running() != pid:
            ended = os.waitpid(pid, os.WNOHANG)[0]
            if ended or time.monotonic() > deadline:
                if not ended:
                    os.kill(pid, signal.SIGKILL)
                raise BalancerFault(f"the {self._title} did not start; see {self._log}")
            time.sleep(0.01)
        write_atomically(self._pid_file, f"{pid} {version}")

    def _spawn(self) -> int:
        """Start the process in a separate session, because it outlives this one."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", self._module, str(self._directory.absolute())],
            child_environment(),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self._log), flags, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )


def fingerprint() -> str:
    """Return an identifier of the code on disk that a companion is started from."""
    digest = hashlib.sha256()
    # With pathlib it takes twice as long, and the start of an agent that has exited waits for it.
    files = [
        f"{folder}/{name}"
        for package in ("base", "balancer")
        for folder, _, names in os.walk(_CODE / package)
        for name in names
        if name.endswith(".py")
    ]
    for file in sorted(files):
        with open(file, "rb", buffering=0) as opened:  # noqa: PTH123
            digest.update(opened.read())
    return digest.hexdigest()[:16]


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)

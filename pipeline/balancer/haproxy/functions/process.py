"""The adapter's life. Like HAProxy, it runs by itself: our processes come and go."""

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

from pipeline.balancer.haproxy.naming import FUNCTION_SOCKET
from pipeline.base.errors import BalancerFault
from pipeline.base.files import write_atomically
from pipeline.base.sockets import connection_to

_PID_FILE = "functions.pid"
_LOG = "functions.log"
_START_TIMEOUT = 10.0
_BACKLOG_TIMEOUT = 30.0
# The package whose modules the adapter may import.
_CODE = Path(__file__).resolve().parents[3]
# The kernel's answer to who listens: process, user and group.
_CREDENTIALS = struct.Struct("3i")


def ensure_running(directory: Path) -> None:
    """Start the adapter where it does not answer; it takes requests when this returns."""
    if _listener(directory) is None:
        stop(directory)
        _start(directory)


def running(directory: Path) -> int | None:
    """Return the process that takes requests; None where there is none."""
    return _listener(directory)


def wait_for_end(directory: Path, pid: int) -> None:
    """Wait until an adapter that was replaced has answered what it had begun, or for as long as its requests may take
    to say what they want."""
    deadline = time.monotonic() + _BACKLOG_TIMEOUT
    while _is_ours(directory, pid) and time.monotonic() < deadline:
        time.sleep(0.01)


def ensure_current(directory: Path) -> None:
    """Start the adapter where it does not answer, or is of other code than ours: an upgrade has then come between.

    What comes from now on is the new one's; the previous ends when it has answered what it has begun.
    """
    previous = _listener(directory)
    if previous is None:
        ensure_running(directory)
    elif _started(directory) != [str(previous), fingerprint()]:
        _start(directory)
        with suppress(ProcessLookupError):
            os.kill(previous, signal.SIGTERM)


def stop(directory: Path) -> None:
    """End the adapter, once it has answered what it has begun. Does nothing when it is not there."""
    try:
        pid = int(_started(directory)[0])
        if _is_ours(directory, pid):
            os.kill(pid, signal.SIGTERM)
    except (OSError, ValueError, IndexError):
        pass
    (directory / _PID_FILE).unlink(missing_ok=True)
    (directory / FUNCTION_SOCKET).unlink(missing_ok=True)


def _is_ours(directory: Path, pid: int) -> bool:
    """A process number alone proves nothing, its working directory does."""
    try:
        return Path(f"/proc/{pid}/cwd").resolve(strict=True) == directory.resolve()
    except OSError:
        return False


def fingerprint() -> str:
    """Identifies the code on disk that an adapter is started from."""
    digest = hashlib.sha256()
    for file in sorted([*(_CODE / "base").rglob("*.py"), *(_CODE / "balancer").rglob("*.py")]):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _started(directory: Path) -> list[str]:
    """The process that was started last, and its fingerprint; less where nobody knows."""
    try:
        return (directory / _PID_FILE).read_text().split()
    except FileNotFoundError:
        return []


def _start(directory: Path) -> None:
    """Start one, which takes the socket over from a previous one."""
    version = fingerprint()
    pid = _spawn(directory)
    deadline = time.monotonic() + _START_TIMEOUT
    while _listener(directory) != pid:
        ended = os.waitpid(pid, os.WNOHANG)[0]
        if ended or time.monotonic() > deadline:
            if not ended:
                os.kill(pid, signal.SIGKILL)
            raise BalancerFault(f"the adapter of functions does not start; {directory / _LOG} says why")
        time.sleep(0.01)
    write_atomically(directory / _PID_FILE, f"{pid} {version}")


def _spawn(directory: Path) -> int:
    """Start it in a session of its own. It outlives us, so that nobody here waits for its end."""
    log = str(directory / _LOG)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "pipeline.balancer.haproxy.functions.adapter", str(directory.absolute())],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )


def _listener(directory: Path) -> int | None:
    """The process that listens; None where nobody does."""
    try:
        with connection_to(directory, FUNCTION_SOCKET, _START_TIMEOUT) as connection:
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            return int(_CREDENTIALS.unpack(credentials)[0])
    except OSError:
        return None

"""Start, upgrade and stop of the adapter. Like HAProxy, it runs as a separate process while Penstock is stopped."""

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

from pipeline.balancer.haproxy.environment import child_environment
from pipeline.balancer.haproxy.naming import FUNCTION_SOCKET
from pipeline.base.errors import BalancerFault
from pipeline.base.files import write_atomically
from pipeline.base.lock import is_stopped, resume_stopped
from pipeline.base.small_file import read_small_file
from pipeline.base.sockets import connection_to

_PID_FILE = "functions.pid"
_LOG = "functions.log"
_START_TIMEOUT = 10.0
_BACKLOG_TIMEOUT = 30.0
# The package whose modules the adapter may import.
_CODE = Path(__file__).resolve().parents[3]
# The kernel's credentials of a listening process: process, user and group id.
_CREDENTIALS = struct.Struct("3i")


def ensure_running(directory: Path) -> None:
    """Start the adapter if it does not respond. It accepts requests when this returns."""
    if _listener(directory) is None:
        stop(directory)
        _start(directory)


def running(directory: Path) -> int | None:
    """Return the process that accepts requests, or None."""
    return _listener(directory)


def stopped(directory: Path) -> tuple[int, ...]:
    """Return the process, if a signal has stopped it. Its socket still accepts connections."""
    found = _started(directory)
    pid = int(found[0]) if found and found[0].isdigit() else 0
    return (pid,) if pid and _is_ours(directory, pid) and is_stopped(pid) else ()


def resume(directory: Path) -> tuple[int, ...]:
    """Continue the process if a signal has stopped it, and return it."""
    return resume_stopped(stopped(directory))


def wait_for_end(directory: Path, pid: int) -> None:
    """Wait until a replaced adapter has finished its requests, for at most `_BACKLOG_TIMEOUT` seconds."""
    deadline = time.monotonic() + _BACKLOG_TIMEOUT
    while _is_ours(directory, pid) and time.monotonic() < deadline:
        time.sleep(0.01)


def ensure_current(directory: Path) -> None:
    """Start the adapter if it does not respond, or replace it if it runs other code, as after an upgrade.

    The new process gets all requests from now on. The previous one exits after its open requests.
    """
    previous = _listener(directory)
    if previous is None:
        ensure_running(directory)
    elif _started(directory) != [str(previous), fingerprint()]:
        _start(directory)
        with suppress(ProcessLookupError):
            os.kill(previous, signal.SIGTERM)


def stop(directory: Path) -> None:
    """Make the adapter exit after its open requests. Does nothing if it does not run."""
    try:
        pid = int(_started(directory)[0])
        if _is_ours(directory, pid):
            os.kill(pid, signal.SIGTERM)
    except (OSError, ValueError, IndexError):
        pass
    (directory / _PID_FILE).unlink(missing_ok=True)
    (directory / FUNCTION_SOCKET).unlink(missing_ok=True)


def _is_ours(directory: Path, pid: int) -> bool:
    """Return whether a process is the adapter of this directory. The pid may be reused, so its cwd is compared."""
    try:
        return Path(f"/proc/{pid}/cwd").resolve(strict=True) == directory.resolve()
    except OSError:
        return False


def fingerprint() -> str:
    """Return an identifier of the code on disk that an adapter is started from."""
    digest = hashlib.sha256()
    for file in sorted([*(_CODE / "base").rglob("*.py"), *(_CODE / "balancer").rglob("*.py")]):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _started(directory: Path) -> list[str]:
    """Return the process that was started last and its fingerprint. Empty if unknown."""
    try:
        return read_small_file(f"{directory}/{_PID_FILE}").decode().split()
    except (OSError, UnicodeDecodeError):
        return []


def _start(directory: Path) -> None:
    """Start an adapter, which takes over the socket of a previous one."""
    version = fingerprint()
    pid = _spawn(directory)
    deadline = time.monotonic() + _START_TIMEOUT
    while _listener(directory) != pid:
        ended = os.waitpid(pid, os.WNOHANG)[0]
        if ended or time.monotonic() > deadline:
            if not ended:
                os.kill(pid, signal.SIGKILL)
            raise BalancerFault(f"the adapter of functions did not start; see {directory / _LOG}")
        time.sleep(0.01)
    write_atomically(directory / _PID_FILE, f"{pid} {version}")


def _spawn(directory: Path) -> int:
    """Start the process in a separate session, because it outlives this one."""
    log = str(directory / _LOG)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "pipeline.balancer.haproxy.functions.adapter", str(directory.absolute())],
        child_environment(),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )


def _listener(directory: Path) -> int | None:
    """Return the process that listens on the socket, or None."""
    try:
        with connection_to(directory, FUNCTION_SOCKET, _START_TIMEOUT) as connection:
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            return int(_CREDENTIALS.unpack(credentials)[0])
    except OSError:
        return None

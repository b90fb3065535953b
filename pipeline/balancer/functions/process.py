"""The adapter's life. Like HAProxy, it runs by itself: our processes come and go."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from pipeline.balancer.haproxy.words import FUNCTION_SOCKET
from pipeline.balancer.unix_socket import connected
from pipeline.errors import BalancerFault
from pipeline.files import write_atomically

_PID_FILE = "functions.pid"
_LOG = "functions.log"
_PATIENCE = 10.0


def ensure_running(directory: Path) -> None:
    """Start the adapter where it does not answer; it takes requests when this returns."""
    if _answers(directory):
        return
    stop(directory)
    pid = _spawn(directory)
    write_atomically(directory / _PID_FILE, str(pid))
    deadline = time.monotonic() + _PATIENCE
    while not _answers(directory):
        if os.waitpid(pid, os.WNOHANG)[0] or time.monotonic() > deadline:
            raise BalancerFault(f"the adapter of functions does not start; {directory / _LOG} says why")
        time.sleep(0.01)


def stop(directory: Path) -> None:
    """End the adapter. Does nothing when it is not there."""
    try:
        pid = int((directory / _PID_FILE).read_text())
        if Path(f"/proc/{pid}/cwd").resolve(strict=True) == directory.resolve():
            os.kill(pid, signal.SIGTERM)
    except (OSError, ValueError):
        pass
    (directory / _PID_FILE).unlink(missing_ok=True)
    (directory / FUNCTION_SOCKET).unlink(missing_ok=True)


def _spawn(directory: Path) -> int:
    """Start it in a session of its own. It outlives us, so that nobody here waits for its end."""
    log = str(directory / _LOG)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "pipeline.balancer.functions.adapter", str(directory.absolute())],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )


def _answers(directory: Path) -> bool:
    """Whether somebody listens."""
    try:
        with connected(directory, FUNCTION_SOCKET, _PATIENCE):
            return True
    except OSError:
        return False

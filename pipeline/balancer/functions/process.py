"""The adapter's life. Like HAProxy, it runs by itself: our processes come and go."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from pipeline.balancer.functions.adapter import SOCKET
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
    with (directory / _LOG).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.balancer.functions.adapter", str(directory.absolute())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    write_atomically(directory / _PID_FILE, str(process.pid))
    deadline = time.monotonic() + _PATIENCE
    while not _answers(directory):
        if process.poll() is not None or time.monotonic() > deadline:
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
    (directory / SOCKET).unlink(missing_ok=True)


def _answers(directory: Path) -> bool:
    """Whether somebody listens. By way of an open directory, its path may be of any length."""
    folder = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(f"/proc/self/fd/{folder}/{SOCKET}")
            return True
    except OSError:
        return False
    finally:
        os.close(folder)

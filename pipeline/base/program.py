"""Programs of the user, which get a limit of time."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_POLL_INTERVAL = 0.1


@dataclass(frozen=True)
class ProgramOutput:
    """The exit code of a program, and what it wrote."""

    code: int
    stdout: bytes
    stderr: bytes

    def complaint(self, limit: int = 300) -> str:
        """Return the end of its errors, or of its output if it wrote none."""
        return (self.stderr or self.stdout).decode(errors="replace").strip()[-limit:]


class ProgramStopped(Exception):
    """A program was killed because its caller no longer needs it."""


def run_program(
    command: Sequence[str],
    timeout: float,
    environ: Mapping[str, str],
    directory: Path | None = None,
    *,
    stopped: threading.Event | None = None,
) -> ProgramOutput:
    """Run a program to its end, without input. Its output is in memory only.

    Raises `OSError` if it cannot be started. After `timeout` seconds it is killed with all that it has started, and
    `TimeoutError` is raised. The same happens soon after `stopped` is set, with `ProgramStopped`.
    """
    stdout, stderr = os.memfd_create("stdout"), os.memfd_create("stderr")
    with os.fdopen(stdout, "w+b") as output, os.fdopen(stderr, "w+b") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            cwd=directory,
            env=dict(environ),
            # What it starts would otherwise survive it, and Ctrl-C would reach it before its caller knows.
            start_new_session=True,
        )
        code = _end(process, timeout, stopped)
        output.seek(0)
        errors.seek(0)
        return ProgramOutput(code, output.read(), errors.read())


def _end(process: subprocess.Popen[bytes], timeout: float, stopped: threading.Event | None) -> int:
    """Return the exit code, or kill the process with all that it has started."""
    try:
        return process.wait(timeout) if stopped is None else _wait(process, timeout, stopped)
    except BaseException as error:
        # It may have ended at the same moment.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            raise TimeoutError(f"it did not exit within {timeout:g} s") from None
        raise


def _wait(process: subprocess.Popen[bytes], timeout: float, stopped: threading.Event) -> int:
    deadline = time.monotonic() + timeout
    while True:
        try:
            return process.wait(max(0.0, min(_POLL_INTERVAL, deadline - time.monotonic())))
        except subprocess.TimeoutExpired:
            if stopped.is_set():
                raise ProgramStopped from None
            if time.monotonic() >= deadline:
                raise

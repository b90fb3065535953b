"""Programs of the user, which get a limit of time."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ProgramOutput:
    """The exit code of a program, and what it wrote."""

    code: int
    stdout: bytes
    stderr: bytes

    def complaint(self, limit: int = 300) -> str:
        """Return the end of its errors, or of its output if it wrote none."""
        return (self.stderr or self.stdout).decode(errors="replace").strip()[-limit:]


def run_program(
    command: Sequence[str], timeout: float, environ: Mapping[str, str], directory: Path | None = None
) -> ProgramOutput:
    """Run a program to its end, without input. Its output is in memory only.

    Raises `OSError` if it cannot be started. After `timeout` seconds it is killed with all that it has started, and
    `TimeoutError` is raised.
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
        try:
            code = process.wait(timeout)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise TimeoutError(f"it did not exit within {timeout:g} s") from None
            raise
        output.seek(0)
        errors.seek(0)
        return ProgramOutput(code, output.read(), errors.read())

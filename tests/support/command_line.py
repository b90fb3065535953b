"""The command line, run as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.fork_server import fork_server, may_fork
from tests.support.waiting import COMMAND_TIMEOUT

_PROGRAM = ("-m", "pipeline.cli.main")


def pipeline(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `pipeline ARGUMENTS` to its end. Any exit code is returned."""
    if not may_fork():
        return started_pipeline(*arguments, cwd=cwd)
    return fork_server().run([*_PROGRAM, *arguments], cwd or Path.cwd(), os.environ, COMMAND_TIMEOUT)


def started_pipeline(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Do the same by a new Python."""
    return subprocess.run(
        [sys.executable, *_PROGRAM, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_TIMEOUT,
    )

"""The command line, run as a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.waiting import COMMAND_TIMEOUT


def pipeline(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `pipeline ARGUMENTS` to its end. Any exit code is returned."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli.main", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_TIMEOUT,
    )

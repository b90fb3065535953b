"""The machine of a measurement. Without it, a figure cannot be compared."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path


def describe() -> str:
    """Return one line with processor, cores, memory, kernel, Python and Docker."""
    model = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return ", ".join(
        [
            model[1] if model else platform.machine(),
            f"{os.cpu_count()} cores",
            f"{memory:.0f} GiB",
            f"Linux {platform.release()}",
            f"Python {platform.python_version()}",
            f"Docker {_docker()}",
        ]
    )


def _docker() -> str:
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "none"

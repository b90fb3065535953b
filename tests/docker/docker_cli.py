"""The docker command, which tests use as a check that is independent of Penstock's engine module."""

from __future__ import annotations

import subprocess


def docker(*arguments: str) -> str:
    """Run a docker command. Return its output."""
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout

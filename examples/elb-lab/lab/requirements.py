"""What this machine needs for the laboratory."""

from __future__ import annotations

import os
import shutil
import subprocess

PROGRAMS = {"ip": "iproute2", "nft": "nftables", "git": "git", "docker": "docker.io"}


def obstacle() -> str:
    """Return what keeps this machine from running the laboratory and what to do about it, or an empty text."""
    if os.geteuid() != 0:
        return "the laboratory makes a network namespace and adds addresses, so it needs root: sudo make lab"
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            return f"{program} is not installed, or not on PATH: apt-get install {package}"
    if (error := _error_of("docker", "info", "--format", "{{.ServerVersion}}")) is not None:
        return f"no Docker Engine answers: {error}\nstart it, or install it with setup/docker.sh"
    if (error := _error_of("unshare", "--net", "true")) is not None:
        return f"this machine does not allow network namespaces: {error}\nin a container, add the capability SYS_ADMIN"
    return ""


def _error_of(*command: str) -> str | None:
    """Return the last line of what a failing command prints, or None if it succeeds."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (done.stderr.strip().splitlines() or ["no reason given"])[-1] if done.returncode else None

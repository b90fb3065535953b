"""An earlier version of Penstock, installed beside this one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.paths import ROOT


def install(commit: str, folder: Path) -> Path:
    """Install the package of a commit below a folder, and return the place for PYTHONPATH."""
    source, installed = folder / "source", folder / "installed"
    source.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(source)], input=archive, check=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run([*command, "--target", str(installed), str(source)], check=True, env=environment)
    return installed

"""The packages in examples/, installed as a user would install them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.paths import ROOT
from tests.support.waiting import COMMAND_TIMEOUT


def install_example(name: str, folder: Path) -> Path:
    """Install a package of examples/ with pip into a folder, and return the folder. It is not on `sys.path` yet."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    example = str(ROOT / "examples" / name)
    subprocess.run(
        [*command, "--target", str(folder), example], check=True, capture_output=True, timeout=COMMAND_TIMEOUT
    )
    return folder

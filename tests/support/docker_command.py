"""The docker command with a deadline. What does not end in time is named, with what its engine was doing."""

from __future__ import annotations

import os
import subprocess
from typing import Any

from tests.support.private_engine import diagnosis
from tests.support.waiting import COMMAND_TIMEOUT


def docker_command(
    *words: str, check: bool = True, timeout: float = COMMAND_TIMEOUT, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a docker command. `options` are those of `subprocess.run`.

    Raises `CalledProcessError` with its output if it fails and `check`, and `AssertionError` if it does not end within
    `timeout` seconds.
    """
    options = {"capture_output": True, "text": True, **options}
    try:
        return subprocess.run(["docker", *words], check=check, timeout=timeout, **options)
    except subprocess.CalledProcessError as error:
        error.add_note(f"{error.stdout}{error.stderr}")
        raise
    except subprocess.TimeoutExpired as expired:
        address = (options.get("env") or os.environ).get("DOCKER_HOST", "")
        raise AssertionError(f"{expired}\n{diagnosis(address)}") from None

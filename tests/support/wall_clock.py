"""The wall clock of other processes, which a test sets while they run. Their other clocks go on."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.waiting import COMMAND_TIMEOUT

_SOURCE = Path(__file__).with_name("wall_clock.c")


class WallClock:
    """The wall clock of every process that is started with `environment`, and of its children."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            if os.environ.get("CI"):
                pytest.fail("no C compiler, and in CI the tests of the wall clock must run")
            pytest.skip("no C compiler")
        library = folder / "wall_clock.so"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O1", "-o", library, _SOURCE, "-ldl"], check=True, timeout=COMMAND_TIMEOUT
        )
        self._file = folder / "shift"
        self.shift = 0
        self.step(0)
        self.environment = {"LD_PRELOAD": str(library), "WALL_CLOCK_SHIFT": str(self._file)}

    def step(self, seconds: int) -> None:
        """Set the clock forward, or back by a negative number."""
        self.shift += seconds
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT, 0o600)
        os.pwrite(descriptor, self.shift.to_bytes(8, "little", signed=True), 0)
        os.close(descriptor)

"""A steady load on a service, and what became of every request of it.

It runs in a process of its own, so that what the caller does cannot make it late.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict
from types import TracebackType
from typing import Self

from pipeline.base.errors import SystemFault
from pipeline.testing.load.profile import LoadProfile
from pipeline.testing.load.report import LoadReport

_PATIENCE = 10.0


class Load:
    """A running load. A context manager: leaving it stops the load."""

    def __init__(self, profile: LoadProfile) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.testing.load.generator", json.dumps(asdict(profile))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            # A Ctrl-C at the terminal is for the caller, who then stops the load in order.
            start_new_session=True,
        )
        self._last: LoadReport | None = None

    @classmethod
    def start(cls, profile: LoadProfile) -> Load:
        """Start a load; returns at the first answer. Raises `SystemFault` when none comes within 10 s."""
        load = cls(profile)
        deadline = time.monotonic() + _PATIENCE
        while not (report := load.report()).succeeded:
            if time.monotonic() > deadline:
                load.stop()
                reasons = ", ".join(sorted({f.reason for f in report.failures})) or "no answer"
                raise SystemFault(f"{profile.url} does not answer: {reasons}")
            time.sleep(0.02)
        load.mark("before")
        return load

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.stop()

    def mark(self, phase: str) -> LoadReport:
        """Count everything from now on for `phase`."""
        return self._tell(f"mark {phase}")

    def report(self) -> LoadReport:
        """Everything so far."""
        return self._tell("report")

    def stop(self) -> LoadReport:
        """Send no more, wait for what is in flight, and report."""
        if self._last is None:
            self._last = self._tell("stop")
            self._process.communicate()
        return self._last

    def _tell(self, command: str) -> LoadReport:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(f"{command}\n")
            return LoadReport.from_data(json.loads(self._process.stdout.readline()))
        except (OSError, ValueError) as error:
            raise SystemFault(f"the load generator has ended: {error}") from error

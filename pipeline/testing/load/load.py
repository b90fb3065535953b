"""A steady load on a service, with the outcome of every request.

It runs in its own process, so that the caller's work cannot make it late.
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

_START_TIMEOUT = 60.0
_STOP_TIMEOUT = 60.0


class Load:
    """A running load. A context manager: leaving it stops the load."""

    def __init__(self, profile: LoadProfile) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.testing.load.generator", json.dumps(asdict(profile))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            # A Ctrl-C at the terminal goes to the caller, which then stops the load.
            start_new_session=True,
        )
        self._last: LoadReport | None = None

    @classmethod
    def start(cls, profile: LoadProfile) -> Load:
        """Start a load and return after the first success. Raises `SystemFault` if there is none within a minute."""
        load = cls(profile)
        deadline = time.monotonic() + _START_TIMEOUT
        while not (report := load.report()).succeeded:
            if time.monotonic() > deadline:
                load.stop()
                reasons = ", ".join(sorted({f.reason for f in report.failures})) or "no response"
                raise SystemFault(f"{profile.url} does not respond: {reasons}")
            time.sleep(0.02)
        load.mark("before")
        return load

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.stop()

    def mark(self, phase: str) -> LoadReport:
        """Start a phase, and report the load so far."""
        return self._send(f"mark {phase}")

    def report(self) -> LoadReport:
        """Return the report of the load so far."""
        return self._send("report")

    def stop(self) -> LoadReport:
        """Stop sending, wait for the requests in flight, and return the report."""
        if self._last is None:
            self._last = self._send("stop")
            self._process.communicate(timeout=_STOP_TIMEOUT)
        return self._last

    def _send(self, command: str) -> LoadReport:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(f"{command}\n")
            return LoadReport.from_data(json.loads(self._process.stdout.readline()))
        except (OSError, ValueError) as error:
            raise SystemFault(f"the load generator exited: {error}") from error

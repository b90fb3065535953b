"""Checks that run at the same time, each with a limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pipeline.base.errors import PenstockError
from pipeline.doctor.finding import Finding


@dataclass(frozen=True)
class Check:
    """A check, which yields any number of findings. It may raise `PenstockError` and `OSError`, and changes nothing."""

    name: str
    find: Callable[[], Iterable[Finding]]


def run_checks(checks: Sequence[Check], timeout: float) -> list[Finding]:
    """Run checks in threads, and return the findings in the order of the checks.

    One that has not ended after `timeout` seconds has failed. Its thread does not keep the process from exiting.
    """
    running = [_Running(check) for check in checks]
    deadline = time.monotonic() + timeout
    for each in running:
        each.thread.join(max(0.0, deadline - time.monotonic()))
    return [finding for each in running for finding in each.findings(timeout)]


class _Running:
    """A check in its thread."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._found: list[Finding] = []
        self.thread = threading.Thread(target=self._run, name=f"doctor {check.name}", daemon=True)
        self.thread.start()

    def findings(self, timeout: float) -> list[Finding]:
        """Return what it has found, and that it has not ended."""
        name, found = self._check.name, list(self._found)
        return [*found, Finding.failed(name, f"no answer within {timeout:g} s")] if self.thread.is_alive() else found

    def _run(self) -> None:
        name = self._check.name
        try:
            for finding in self._check.find():
                self._found.append(finding)
        except PenstockError as error:
            self._found.append(Finding.failed(name, error.message, error.hint or ""))
        except OSError as error:
            self._found.append(Finding.failed(name, str(error)))

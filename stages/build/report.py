"""The result of a run's tests, from their reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["passed", "failed", "skipped"]
_MAX_NAME = 200


@dataclass(frozen=True)
class Case:
    """One test, or a failure outside of the tests."""

    name: str
    outcome: Outcome
    is_test: bool = True


@dataclass(frozen=True)
class TestReport:
    """The number of tests that ran, and the names of those that failed.

    `unread` names the files that could not be read, with the reason. `brought` counts the files that were in the image
    already.
    """

    tests: int
    skipped: int
    failed: tuple[str, ...]
    unread: tuple[str, ...] = ()
    brought: int = 0

    __test__ = False

    @classmethod
    def from_cases(cls, cases: list[Case], unread: list[str], brought: int = 0) -> TestReport:
        """Return the report of the cases of all files."""
        return cls(
            tests=sum(case.is_test for case in cases),
            skipped=sum(case.outcome == "skipped" for case in cases),
            failed=tuple(_printable(case.name) for case in cases if case.outcome == "failed"),
            unread=tuple(unread),
            brought=brought,
        )

    def __str__(self) -> str:
        parts = [f"{self.tests} test{'' if self.tests == 1 else 's'}"]
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        parts += [f"{self.skipped} skipped"] if self.skipped else []
        parts += ["not all reports were read"] if self.unread else []
        return ", ".join(parts)


def _printable(name: str) -> str:
    """Return a name on one line. It comes from the tests and is not trusted."""
    text = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    return text if len(text) <= _MAX_NAME else f"{text[: _MAX_NAME - 1]}…"

"""What a step has found, beside what it should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from table import render


@dataclass(frozen=True)
class Finding:
    """One row of a step's table. `expected` is what the README says."""

    what: str
    expected: str
    seen: str
    holds: bool

    @classmethod
    def equal(cls, what: str, expected: object, seen: object) -> Finding:
        """Return a finding that holds if both are the same."""
        return cls(what, str(expected), str(seen), expected == seen)

    @classmethod
    def share(cls, what: str, expected: float, seen: float, points: float) -> Finding:
        """Return a finding that holds if two shares in percent differ by so many points at most."""
        return cls(what, f"{expected:g} % ± {points:g}", f"{seen:.2f} %", abs(expected - seen) <= points)


def show(findings: Sequence[Finding]) -> str:
    """Return the table of a step."""
    rows = [(f.what, f.expected, f.seen, "yes" if f.holds else "NO") for f in findings]
    return render(("WHAT", "EXPECTED", "SEEN", "AS EXPECTED"), rows)

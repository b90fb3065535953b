"""The verdict of one condition, with its numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pipeline.base.quantity import format_percentage

AlarmState = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]


@dataclass(frozen=True)
class Verdict:
    """The state of a condition, as CloudWatch names it, and the `text` for events.

    ALARM: the new release is worse. OK: nothing shows that it is worse. INSUFFICIENT_DATA: too few requests, or no
    measurement. `needed` is about the number of requests that are missing: until a decision is possible, or, where the
    evidence grows, until it reaches the limit if it continues like this. None if the number is not known.
    """

    state: AlarmState
    text: str
    e_value: float | None = None
    needed: int | None = None


@dataclass(frozen=True)
class EvidenceLimit:
    """When evidence decides: from an e-value of `threshold`, and from `min_requests` of each compared release on."""

    threshold: float
    min_requests: int
    confidence: float

    def judge(self, numbers: str, e_value: float, new: int, previous: int | None) -> Verdict:
        """Return the verdict. `new` and `previous` are numbers of requests. None: not compared with a previous one."""
        fewest = new if previous is None else min(new, previous)
        if (missing := self.min_requests - fewest) > 0:
            whose = "" if fewest == new else " of the previous release"
            one = missing == 1
            text = (
                f"{numbers}, {missing:,} more {'request' if one else 'requests'}{whose} {'is' if one else 'are'} needed"
            )
            return Verdict("INSUFFICIENT_DATA", text, e_value, missing)
        limit = f"an alarm needs {_number(self.threshold)} at {format_percentage(self.confidence)} confidence"
        text = f"{numbers}, evidence {_number(e_value)}, {limit}"
        if e_value >= self.threshold:
            return Verdict("ALARM", text, e_value)
        needed = self._needed(e_value, new)
        more = "" if needed is None else f", about {needed:,} more requests like these"
        return Verdict("OK", f"{text}{more}", e_value, needed)

    def _needed(self, e_value: float, new: int) -> int | None:
        """Return how many more requests reach the threshold, to two digits, if the evidence grows as until now."""
        grown = math.log(e_value) if e_value > 0 else 0.0
        # Evidence that has not doubled is mostly chance.
        if grown < math.log(2):
            return None
        more = max(1.0, (math.log(self.threshold) - grown) / grown * new)
        return int(float(f"{more:.1e}"))


def percent(bad: int, total: int) -> str:
    """Return a ratio with its counts: `2.1% (41 of 1,950 requests)`."""
    share = bad / total * 100 if total else 0.0
    return f"{share:.{1 if share >= 0.95 or not share else 2}f}% ({bad:,} of {total:,} requests)"


def _number(value: float) -> str:
    if value >= 1e6:
        return f"{value:.0e}"
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"

"""The open flows of targets, counted as exactly as each use needs."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

from pipeline.balancer.kernel.conntrack import FlowCount, count_flows

Count = Callable[[Collection[int] | None], Mapping[int, FlowCount]]
# CPU seconds that a count may always take, about a thousand flows. Longer ones take one part of this many of the time.
_QUICK, _PART = 0.01, 20


class FlowCounter:
    """Counts flows by mark. On a busy machine, to count all of them takes seconds, so that is done rarely.

    `count`: the function that counts those of some marks, or all. `now`: seconds of a clock that only goes on. `spent`:
    the CPU seconds of this process. All methods raise `BalancerFault`.
    """

    def __init__(
        self,
        count: Count = count_flows,
        now: Callable[[], float] = time.monotonic,
        spent: Callable[[], float] = time.process_time,
    ) -> None:
        self._count = count
        self._now = now
        self._spent = spent
        # CPU seconds of the last count of all flows, and of one mark.
        self._all_cost, self._one_cost = 0.0, 0.0
        self._recent: Mapping[int, FlowCount] = {}
        self._due = 0.0

    def exact(self, marks: Collection[int]) -> Mapping[int, FlowCount]:
        """Return the counts of some marks now. A mark without flows is left out."""
        if not marks:
            return {}
        if len(marks) * self._one_cost > self._all_cost:
            return {mark: count for mark, count in self._every().items() if mark in marks}
        begin = self._spent()
        found = self._count(marks)
        self._one_cost = (self._spent() - begin) / len(marks)
        return found

    def recent(self) -> Mapping[int, FlowCount]:
        """Return counts of all marks. Those of thousands of flows may be twenty times as old as the count took."""
        if self._now() >= self._due:
            self._recent = self._every()
            pause = self._all_cost * (_PART - 1) if self._all_cost > _QUICK else 0
            self._due = self._now() + pause
        return self._recent

    def _every(self) -> Mapping[int, FlowCount]:
        begin = self._spent()
        found = self._count(None)
        self._all_cost = self._spent() - begin
        return found

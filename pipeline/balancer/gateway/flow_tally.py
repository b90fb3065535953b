"""The open flows of appliances, counted again as often as the count is cheap."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from pipeline.balancer.gateway.packet_path import PacketPath

# CPU seconds that a count may always take. Longer ones take one part of this many of the time.
_QUICK, _PART = 0.01, 20
# Seconds between counts at least, if nothing asks.
PAUSE = 5.0


class FlowTally:
    """Counts the flows of a path, which also ends those that are idle.

    `now`: seconds of a clock that only goes on. `spent`: the CPU seconds of this process. All methods raise
    `BalancerFault`.
    """

    def __init__(
        self, now: Callable[[], float] = time.monotonic, spent: Callable[[], float] = time.process_time
    ) -> None:
        self._now = now
        self._spent = spent
        self._counts = Counter[tuple[int, int]]()
        self._due = 0.0

    def recent(self, path: PacketPath) -> Counter[tuple[int, int]]:
        """Return the number of flows by endpoint and target.

        They are counted now. On a busy machine, the count may be twenty times as old as it took.
        """
        if self._now() >= self._due:
            begin = self._spent()
            self._counts = Counter(path.expire(self._now()))
            cost = self._spent() - begin
            self._due = self._now() + (cost * (_PART - 1) if cost > _QUICK else 0)
        return self._counts

    def of_target(self, path: PacketPath, target: int) -> int:
        """Return the number of flows of a target, of all endpoints."""
        return sum(count for (_, each), count in self.recent(path).items() if each == target)

    def forget(self, target: int) -> None:
        """Note that the flows of a target were ended."""
        self._counts = Counter({key: count for key, count in self._counts.items() if key[1] != target})

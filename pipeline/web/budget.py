"""A limit for the processor time that open pages take."""

from __future__ import annotations

from pipeline.base.clock import Clock


class CpuBudget:
    """Earns `share` of each second, up to `burst` seconds. What was not spent is there when something happens."""

    def __init__(self, clock: Clock, share: float, burst: float) -> None:
        self._clock = clock
        self._share = share
        self._burst = burst
        self._left = burst
        self._counted_at = clock.monotonic()

    def spend(self, seconds: float) -> None:
        """Take away processor time that was used."""
        self._earn()
        self._left -= seconds

    def delay(self, reserve: float = 0.0) -> float:
        """Return the seconds until `reserve` is left."""
        self._earn()
        return max(0.0, (reserve - self._left) / self._share)

    def _earn(self) -> None:
        now = self._clock.monotonic()
        self._left = min(self._burst, self._left + (now - self._counted_at) * self._share)
        self._counted_at = now

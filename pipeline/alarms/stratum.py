"""Windows that are joined until both releases have requests in them."""

from __future__ import annotations

from pipeline.alarms.window import ReleaseWindow

_ENOUGH, _MAX_WINDOWS = 4, 10


class Stratum:
    """Joins the windows of both releases, because a comparison learns nothing from a window in which one is idle.

    Within a stratum the order of windows does not matter. Only the numbers of requests decide when it ends, never the
    responses, so the responses of both releases remain comparable given these numbers.
    """

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._new, self._previous, self._windows = ReleaseWindow(), ReleaseWindow(), 0

    def add(self, new: ReleaseWindow, previous: ReleaseWindow) -> tuple[ReleaseWindow, ReleaseWindow] | None:
        """Add a window of each release. Returns the joined ones if the stratum ends with them."""
        self._new, self._previous = self._new + new, self._previous + previous
        self._windows += 1
        fewest = min(self._new.requests, self._previous.requests)
        if fewest < (1 if self._windows >= _MAX_WINDOWS else _ENOUGH):
            return None
        joined = self._new, self._previous
        self._clear()
        return joined

"""The number of healthy targets over time, over the floor of the rollout."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from pipeline.http.responses.timeline import HealthyPoint

_BEGIN = datetime.min.replace(tzinfo=UTC)


class HealthyLine:
    """A point for each change. Changes that are later than all points so far cost no more than themselves.

    A floor counts only once it was reached: a rollout does not cause that there are fewer at its start.
    """

    def __init__(self) -> None:
        self._changes: list[tuple[datetime, int]] = []
        self._floors: list[tuple[datetime, int]] = []
        self._restart()

    def change(self, at: datetime, by: int) -> None:
        """Add targets that have become healthy, or take away others."""
        self._changes.append((at, by))

    def floor(self, at: datetime, floor: int) -> None:
        """Begin a rollout that keeps so many."""
        self._floors.append((at, floor))

    def _restart(self) -> None:
        self._points: list[HealthyPoint] = []
        self._healthy = self._floor = self._peak = 0
        self._seen = self._seen_floors = 0
        self._end = _BEGIN

    def points(self) -> list[HealthyPoint]:
        """Return the points by their time."""
        new = (*self._changes[self._seen :], *self._floors[self._seen_floors :])
        if any(at <= self._end for at, _ in new):
            # An event may tell of an earlier time, or the wall clock have been set back.
            self._restart()
        changes = Counter[datetime]()
        for at, by in self._changes[self._seen :]:
            changes[at] += by
        floors = dict(self._floors[self._seen_floors :])
        for at in sorted({*changes, *floors}):
            self._add(at, changes[at], floors.get(at))
        self._seen, self._seen_floors = len(self._changes), len(self._floors)
        return self._points

    def _add(self, at: datetime, change: int, floor: int | None) -> None:
        self._healthy += change
        if floor is not None:
            self._floor, self._peak = floor, 0
        self._peak = max(self._peak, self._healthy)
        point = HealthyPoint(at=at, healthy=self._healthy, floor=min(self._floor, self._peak))
        last = self._points[-1] if self._points else None
        if last is None or (last.healthy, last.floor) != (point.healthy, point.floor):
            self._points.append(point)
        self._end = at

"""The number of healthy targets over time, over the floor of the rollout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from pipeline.http.responses.timeline import HealthyPoint


def healthy_line(
    times: Iterable[tuple[datetime, datetime | None]], floors: Sequence[tuple[datetime, int]]
) -> list[HealthyPoint]:
    """Return a point for each change. `times` are those of healthy targets, `floors` the starts of rollouts.

    A floor counts only once it was reached: a rollout does not cause that there are fewer at its start.
    """
    changes = Counter[datetime]()
    for begin, end in times:
        changes[begin] += 1
        if end is not None:
            changes[end] -= 1
    floor_at = dict(floors)
    points: list[HealthyPoint] = []
    healthy = floor = peak = 0
    for at in sorted({*changes, *floor_at}):
        healthy += changes[at]
        if at in floor_at:
            floor, peak = floor_at[at], 0
        peak = max(peak, healthy)
        point = HealthyPoint(at=at, healthy=healthy, floor=min(floor, peak))
        if not points or (points[-1].healthy, points[-1].floor) != (point.healthy, point.floor):
            points.append(point)
    return points

"""A decision of the controller, as it is stored and shown."""

from __future__ import annotations

from pipeline.base.clock import Stamp
from pipeline.base.schema import Model, StoredStamp
from pipeline.scaling.bounds import Bounds


class DecisionRecord(Model):
    """The wanted number of replicas, why, and what was observed. The metrics are those of `Observation`."""

    at: StoredStamp
    count: int
    reason: str
    min: int
    max: int
    serving: int = 0
    starting: int = 0
    requests: float | None = None
    connections: float | None = None
    cpu: float | None = None
    response_time: float | None = None

    @classmethod
    def unseen(cls, at: Stamp, count: int, reason: str, bounds: Bounds) -> DecisionRecord:
        """Return the record of a time at which nothing was observed or changed."""
        return cls(at=at, count=count, reason=reason, min=bounds.least, max=bounds.most)

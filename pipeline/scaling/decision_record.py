"""A decision of the controller, as it is stored and shown."""

from __future__ import annotations

from pipeline.base.schema import Model, StoredStamp


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

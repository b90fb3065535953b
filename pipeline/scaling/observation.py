"""The inputs of the controller, and what it remembers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, tzinfo

from pipeline.base.clock import Stamp
from pipeline.base.schema import Model, StoredStamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The service at a point in time. A metric that is missing is None.

    `count` is the wanted number of replicas, of which `serving` receive requests. `starting` ones are on their way,
    within the time that they have for it. `held` requests wait for the first replica. The metrics are those of the last
    control interval. `requests` is the total rate per minute. `connections` is the total number in progress, with those
    that wait for a replica. `cpu` is the average percentage of the serving replicas. `response_time` is the 90th
    percentile in seconds, None also without requests. `zone` is that of the scheduled actions.
    """

    at: Stamp
    count: int
    serving: int
    starting: int = 0
    deploying: bool = False
    held: int = 0
    requests: float | None = None
    connections: float | None = None
    cpu: float | None = None
    response_time: float | None = None
    zone: tzinfo = UTC

    @property
    def has_load(self) -> bool:
        """True if there are requests, in progress or in the last interval."""
        return bool(self.requests or self.connections or self.held)

    @property
    def is_idle(self) -> bool:
        """True if it is certain that there were no requests."""
        return self.requests == 0 and not self.connections and not self.held


class ScalingState(Model):
    """What the controller remembers from one decision to the next. It can be stored as JSON.

    `last_out` is the time of the last addition of replicas. Since `low_since`, fewer replicas than now were enough, and
    `low_peak` were needed at most. `too_much` is the smallest load, in requests per minute for each replica, at which
    the response time was over its target. Since `idle_since`, there was no request.
    """

    last_out: StoredStamp | None = None
    low_since: StoredStamp | None = None
    low_peak: int = 0
    too_much: float | None = None
    idle_since: StoredStamp | None = None

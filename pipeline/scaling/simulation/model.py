"""The assumptions of a simulation, and its results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

Algorithm = Literal["round_robin", "least_outstanding_requests"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceModel:
    """How replicas behave.

    `concurrency`: requests that a replica works on at the same time; more wait in it, first come, first served.
    `start_time`: seconds from the decision until a new replica gets requests. `max_wait`: a request that would wait
    longer for its turn is rejected. `control_interval`: seconds between two decisions; it divides a period.
    `algorithm`: as of a target group; the second one avoids replicas that are busy, as long as another one is not.
    """

    concurrency: int = 8
    start_time: float = 5.0
    max_wait: float = 30.0
    control_interval: int = 15
    algorithm: Algorithm = "round_robin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A minute, or another period. `start` is in seconds since the begin. Response times are in seconds, or None.

    `replicas` is the wanted number and `serving` those that get requests, both at the end of the period, like
    `in_flight`. Response times are those of the requests that ended in the period, `rejected` counts by arrival.
    """

    start: int
    requests: int
    replicas: int
    serving: int
    in_flight: int
    rejected: int
    p50: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Change:
    """A decision that changed the number of replicas. `at` is in seconds since the begin."""

    at: float
    before: int
    after: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationResult:
    """A whole simulation. `replica_seconds` include those of starting and draining replicas."""

    periods: Sequence[Period]
    changes: Sequence[Change] = field(default_factory=list)
    replica_seconds: float
    period_seconds: int = 60

    @property
    def duration(self) -> timedelta:
        """The simulated time, in whole periods."""
        return timedelta(seconds=len(self.periods) * self.period_seconds)

    @property
    def replica_hours(self) -> float:
        """The hours that replicas ran, added up."""
        return self.replica_seconds / 3600

    @property
    def requests(self) -> int:
        """All requests, the rejected ones included."""
        return sum(period.requests for period in self.periods)

    @property
    def rejected(self) -> int:
        """The requests that waited too long."""
        return sum(period.rejected for period in self.periods)

    @property
    def most_replicas(self) -> int:
        """The largest wanted number of replicas."""
        first = [self.changes[0].before] if self.changes else []
        return max([period.replicas for period in self.periods] + first + [change.after for change in self.changes])

    def periods_over(self, response_time: float) -> int:
        """Return the number of periods with a p99 over `response_time` seconds or with a rejected request."""
        return sum(period.rejected > 0 or (period.p99 or 0) > response_time for period in self.periods)

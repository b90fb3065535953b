"""What each target was given in the last while."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from pipeline.balancer.telemetry.line import Line
from pipeline.balancer.telemetry.outcome import Outcome

Key = tuple[str, str]


@dataclass(frozen=True)
class Traffic:
    """Requests by target group and target, and how many of them ended in 5XX, whoever said so."""

    seconds: float
    requests: Counter[Key] = field(default_factory=Counter)
    errors: Counter[Key] = field(default_factory=Counter)

    @classmethod
    def since(cls, begin: datetime, now: datetime, newest_first: Iterable[Line]) -> Traffic:
        """What ended after `begin`."""
        traffic = cls((now - begin).total_seconds())
        first = begin.timestamp() * 1000
        for line in newest_first:
            if line.ended < first:
                break
            traffic._count(Outcome.of(line))
        return traffic

    def rate(self, group: str, target: str) -> float:
        """Requests a second."""
        return self.requests[group, target] / self.seconds

    def _count(self, outcome: Outcome) -> None:
        if outcome.target_group and outcome.target:
            key = (outcome.target_group, outcome.target)
            self.requests[key] += 1
            self.errors[key] += (outcome.elb_status or 0) >= 500

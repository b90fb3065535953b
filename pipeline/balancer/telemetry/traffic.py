"""The requests that each target got in a window of time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from pipeline.balancer.access import AccessRecord, LogRecord
from pipeline.balancer.model import TargetHealth

# A target group's name and a target's address, as records have them.
Key = tuple[str, str]


@dataclass(frozen=True)
class Traffic:
    """Requests by target group and target, and those that ended in 5XX, from the target or the load balancer."""

    seconds: float
    requests: Counter[Key] = field(default_factory=Counter)
    errors: Counter[Key] = field(default_factory=Counter)

    @classmethod
    def since(cls, begin: datetime, now: datetime, newest_first: Iterable[LogRecord]) -> Traffic:
        """Count the requests that ended from `begin` to `now`. Reads only as far back as needed."""
        traffic = cls((now - begin).total_seconds())
        for record in newest_first:
            if record.ended < begin:
                break
            # A later time is older: the wall clock was set back since.
            if isinstance(record, AccessRecord) and record.ended <= now:
                traffic._add(record)
        return traffic

    def rate(self, group: str, target: str) -> float:
        """Return requests per second."""
        return self.requests[group, target] / self.seconds

    def _add(self, record: AccessRecord) -> None:
        if record.target_group and record.target:
            key = (record.target_group, record.target)
            self.requests[key] += 1
            self.errors[key] += (record.elb_status or 0) >= 500


def address_of(health: TargetHealth) -> str:
    """Return the target's address and port, as the access log has them."""
    return f"{health.target.address}:{health.target.port}"

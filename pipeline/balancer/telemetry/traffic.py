"""The requests that each target and each rule got in a window of time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from pipeline.balancer.access import AccessRecord, LogRecord
from pipeline.balancer.model import TargetHealth

# A target group's name and a target's address, as records have them.
Key = tuple[str, str]


class RuleUse(NamedTuple):
    """A rule and the target group that it forwarded to. All are as records have them. None: it responded itself."""

    load_balancer: str
    listener: int
    rule: int
    target_group: str | None


@dataclass(frozen=True)
class Traffic:
    """Requests by target group and target, and those that ended in 5XX, from the target or the load balancer.

    `rules` has the requests by rule, those without a target included.
    """

    seconds: float
    requests: Counter[Key] = field(default_factory=Counter)
    errors: Counter[Key] = field(default_factory=Counter)
    rules: Counter[RuleUse] = field(default_factory=Counter)

    @classmethod
    def since(cls, begin: datetime, now: datetime, newest_first: Iterable[LogRecord]) -> Traffic:
        """Count the requests that ended from `begin` to `now`. Reads only as far back as needed."""
        traffic = cls((now - begin).total_seconds())
        for record in newest_first:
            if record.ended < begin:
                break
            # A later time is older: the wall clock was set back since.
            if isinstance(record, AccessRecord) and record.ended <= now:
                traffic.add(record)
        return traffic

    def rate(self, group: str, target: str) -> float:
        """Return requests per second."""
        return self.requests[group, target] / self.seconds

    def rule_rate(self, load_balancer: str, listener: int, rule: int, target_groups: Iterable[str | None]) -> float:
        """Return the requests per second of a rule that it forwarded to these groups, or that it answered itself."""
        uses = (RuleUse(load_balancer, listener, rule, group) for group in target_groups)
        return sum(self.rules[use] for use in uses) / self.seconds

    def add(self, record: AccessRecord) -> None:
        """Count a request."""
        self.rules[RuleUse(record.load_balancer, record.listener, record.rule, record.target_group)] += 1
        if record.target_group and record.target:
            key = (record.target_group, record.target)
            self.requests[key] += 1
            if (record.elb_status or 0) >= 500:
                self.errors[key] += 1


def address_of(health: TargetHealth) -> str:
    """Return the target's address and port, as the access log has them."""
    return f"{health.target.address}:{health.target.port}"

"""The rules of a load balancer that one page shows: all of them, or a part of very many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.http.responses.balancer import ListenerResponse, LoadBalancerResponse, RuleResponse
from pipeline.web.topology.way import Way

MAX_RULES = 60


@dataclass(frozen=True)
class ShownRules:
    """The rules of a listener from number `first` on, counted from 0, and those before and after them."""

    listener: ListenerResponse
    first: int
    rules: Sequence[RuleResponse]

    @property
    def total(self) -> int:
        """The number of rules of the listener."""
        return len(self.listener.rules)

    @property
    def before(self) -> Sequence[RuleResponse]:
        """The rules before those that are shown."""
        return self.listener.rules[: self.first]

    @property
    def after(self) -> Sequence[RuleResponse]:
        """The rules after those that are shown."""
        return self.listener.rules[self.first + len(self.rules) :]


def page_count(balancer: LoadBalancerResponse) -> int:
    """Return the number of pages that the longest listener needs."""
    longest = max((len(listener.rules) for listener in balancer.listeners), default=0)
    return max(1, -(-longest // MAX_RULES))


def page_of(balancer: LoadBalancerResponse, way: Way | None) -> int:
    """Return the page with the rule of a way, or the first one. Counted from 1."""
    for listener in balancer.listeners:
        for number, rule in enumerate(listener.rules):
            if way and way.has_rule(balancer, listener, rule):
                return number // MAX_RULES + 1
    return 1


def shown_rules(balancer: LoadBalancerResponse, page: int) -> list[ShownRules]:
    """Return the rules of a page, counted from 1. A listener without that many rules shows its last ones."""
    found = []
    for listener in balancer.listeners:
        last = max(0, (len(listener.rules) - 1) // MAX_RULES)
        first = min(page - 1, last) * MAX_RULES
        found.append(ShownRules(listener, first, listener.rules[first : first + MAX_RULES]))
    return found


def total_rate(rules: Sequence[RuleResponse]) -> float | None:
    """Return the requests per second of rules. None if it is not known of any."""
    known = [rule.requests_per_second for rule in rules if rule.requests_per_second is not None]
    return sum(known) if known else None

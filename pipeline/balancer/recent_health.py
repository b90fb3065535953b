"""The health of all targets, for views that are refreshed again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping

from pipeline.balancer.balancer_reader import BalancerReader
from pipeline.balancer.data_plane import Facts, group_id
from pipeline.balancer.health import group_health
from pipeline.balancer.model import TargetHealth
from pipeline.balancer.registry import Registry
from pipeline.base.clock import SYSTEM, Clock

Health = Mapping[tuple[str, str], tuple[TargetHealth, ...]]
"""The health of the targets of each group, by the owner and the name of the group."""

# To ask the data plane takes most of the time of a view with many targets. So facts are used for some hundred times as
# long as it took, and for seconds at most. With few targets, the facts are always new.
_MIN_COST, _AGE_PER_COST, _MAX_AGE = 0.005, 300, 9.0
# The plane reports a target that leaves because of the registry, too. In seconds: for so long after a change of the
# registry, a report is taken for one of it, and then the facts are used no longer than this.
_ECHO, _AGE_AFTER_ECHO = 0.3, 5.0


class RecentHealth:
    """Asks the data plane only if nothing else says what has changed. Safe to use from any thread.

    `reports` is the number of reports of the data plane about targets, None while it cannot report. A report makes the
    facts old. A registration or a deregistration does not, because their health follows from the registry.
    """

    def __init__(
        self,
        balancer: BalancerReader,
        reports: Callable[[], int | None] = lambda: None,
        clock: Clock = SYSTEM,
        cpu_time: Callable[[], float] = time.thread_time,
    ) -> None:
        self._balancer = balancer
        self._reports = reports
        self._clock = clock
        self._cpu_time = cpu_time
        self._lock = threading.Lock()
        self._last: tuple[Registry, Facts, Health] | None = None
        self._reported: int | None = None
        self._due = self._changed_at = 0.0

    def read(self) -> tuple[Registry, Health]:
        """Return the registry, and the health of all targets. Raises `BalancerFault`."""
        with self._lock:
            # Before the registry and the facts: what is reported later may not be in them.
            now, reported = self._clock.monotonic(), self._reports()
            registry = self._balancer.registry()
            if self._last and registry is not self._last[0]:
                self._changed_at = now
            if not (self._last and self._is_recent(now, reported) and self._says_all(registry, *self._last[:2])):
                return self._ask(now, reported)
            before, facts, health = self._last
            if registry is not before:
                self._last = registry, facts, dict(_changed(before, health, registry, facts))
            return registry, self._last[2]

    def _is_recent(self, now: float, reported: int | None) -> bool:
        """Return whether the facts are recent, as far as the plane reports."""
        if reported is None or now >= self._due:
            return False
        if reported != self._reported and now - self._changed_at < _ECHO:
            self._reported, self._due = reported, min(self._due, now + _AGE_AFTER_ECHO)
        return reported == self._reported

    def _says_all(self, registry: Registry, before: Registry, facts: Facts) -> bool:
        """Return whether nothing but targets has changed, and the facts have what their health follows from."""
        if registry is before:
            return True
        return registry.by_field() == before.by_field() and not self._balancer.is_ahead(registry, facts)

    def _ask(self, now: float, reported: int | None) -> tuple[Registry, Health]:
        started = self._cpu_time()
        registry, facts = self._balancer.facts()
        health = self._balancer.health_from(registry, facts)
        cost = self._cpu_time() - started
        self._last, self._reported = (registry, facts, health), reported
        # A registry that is ahead says that the next facts differ. Their report would be taken for an echo.
        is_kept = cost > _MIN_COST and not self._balancer.is_ahead(registry, facts)
        self._due = now + min(cost * _AGE_PER_COST, _MAX_AGE) if is_kept else now
        return registry, health


def _changed(
    before: Registry, health: Health, registry: Registry, facts: Facts
) -> Iterator[tuple[tuple[str, str], tuple[TargetHealth, ...]]]:
    """Yield the health of each group. The registrations that both registries have keep theirs."""
    for owner, name in registry.groups():
        former, registrations = before.registrations(owner, name), registry.registrations(owner, name)
        known = {id(one): found for one, found in zip(former, health[owner, name], strict=True)}
        new = [one for one in registrations if id(one) not in known]
        fresh = group_health(registry, owner, name, facts.targets.get(group_id(owner, name)), new)
        known |= {id(one): found for one, found in zip(new, fresh, strict=True)}
        yield (owner, name), tuple(known[id(one)] for one in registrations)

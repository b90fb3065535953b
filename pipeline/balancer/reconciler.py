"""Reconciliation: from the registry and the facts of a data plane to the next changes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipeline.balancer.data_plane import Facts, TargetFact, WantedGroup, WantedTarget, group_id
from pipeline.balancer.pools import Pool
from pipeline.balancer.registry import Registry
from pipeline.balancer.wanted import wanted_group
from pipeline.base.clock import Stamp


@dataclass(frozen=True)
class Reconciliation:
    """The next changes. `registry` is the same object if it needs none.

    `abort`: targets whose connections end, each with the id of its group.
    """

    registry: Registry
    apply: bool = False
    steer: tuple[WantedGroup, ...] = ()
    abort: tuple[tuple[str, str], ...] = ()

    @property
    def is_empty(self) -> bool:
        """True if the plane needs no change."""
        return not (self.apply or self.steer or self.abort)


def reconcile(registry: Registry, facts: Facts) -> Reconciliation:
    """Return the next changes of the registry and the plane.

    A zonal shift that is over ends. A target is admitted if it is wanted in, the group still has its check, and a
    check passed while it was closed, under the address that it is registered with. It is never admitted again once it
    is wanted out. Targets of a group that is not in the facts do not change. The same inputs give the same result.
    The connections of an unhealthy target end with its draining interval, if it has one.
    Applied and observed again, it is empty after two rounds at most, unless open requests keep the plane from
    removing a target.
    """
    current = registry.without_ended_shifts(facts.at)
    if not facts.running or current is not registry:
        return Reconciliation(current, apply=not registry.is_empty)
    steer: list[WantedGroup] = []
    abort: list[tuple[str, str]] = []
    for owner, name in registry.groups():
        known = facts.targets.get(group_id(owner, name))
        if known is None:
            continue
        wanted = wanted_group(registry, owner, name)
        changed = _with_admissions(registry, wanted, known, facts.at)
        if changed is not registry:
            registry, wanted = changed, wanted_group(changed, owner, name)
        if _differs(wanted, known):
            steer.append(wanted)
        abort += ((wanted.id, target) for target in _drained(wanted, known))
    return Reconciliation(registry, steer=tuple(steer), abort=tuple(abort))


def _drained(wanted: WantedGroup, known: Mapping[str, TargetFact]) -> Iterator[str]:
    """Yield the unhealthy targets whose draining interval is over, and that still have connections.

    A target that gets new connections because too few others are healthy keeps them all.
    """
    interval = wanted.settings.attributes.draining_interval
    if not interval:
        return
    failing = [pool for pool in wanted.pools if _fails_open(wanted, pool, known)]
    for target in wanted.targets:
        fact = known.get(target.id)
        is_over = fact is not None and fact.is_down and fact.in_flight and fact.state_age >= interval
        if is_over and not any(pool.has(target.zone) for pool in failing):
            yield target.id


def _fails_open(wanted: WantedGroup, pool: Pool, known: Mapping[str, TargetFact]) -> bool:
    facts = (known.get(target.id) for target in wanted.targets if pool.prefers(target.zone))
    healthy = sum(fact is not None and fact.admitted and fact.up for fact in facts)
    return healthy < wanted.settings.attributes.min_healthy_targets(wanted.registered(pool))


def _with_admissions(registry: Registry, wanted: WantedGroup, known: Mapping[str, TargetFact], at: Stamp) -> Registry:
    """Return the registry with its admissions updated.

    Targets that passed their check become admitted. Leaving targets that the plane has closed become not admitted.
    """
    passed = [t.id for t in wanted.targets if not t.admit and t.check and _may_be_admitted(t, known.get(t.id))]
    closed = [t.id for t in wanted.targets if t.is_leaving and not ((fact := known.get(t.id)) and fact.admitted)]
    for ids, admitted in ((passed, True), (closed, False)):
        if ids:
            registry = registry.with_admitted(wanted.owner, wanted.name, ids, admitted, at)
    return registry


def _may_be_admitted(target: WantedTarget, fact: TargetFact | None) -> bool:
    # A target that is open but should not be passed its checks before this registration.
    return fact is not None and fact.check.has_passed_check and not fact.admitted and _is_same(target, fact)


def _differs(wanted: WantedGroup, known: Mapping[str, TargetFact]) -> bool:
    listed = {target.id for target in wanted.targets}
    unlisted = (fact for id_, fact in known.items() if id_ not in listed)
    return any(map(_can_be_removed, unlisted)) or any(_needs_change(t, known.get(t.id)) for t in wanted.targets)


def _can_be_removed(fact: TargetFact) -> bool:
    return fact.admitted or not fact.in_flight


def _needs_change(target: WantedTarget, fact: TargetFact | None) -> bool:
    """Return whether the plane must change something for a target now."""
    if target.is_leaving:
        return fact is not None and (fact.admitted or fact.check.outcome != "none")
    if fact is None or target.admit != fact.admitted:
        return True
    starts_over = not _is_same(target, fact) or (not target.admit and fact.check.outcome == "none")
    return starts_over and _can_be_removed(fact)


def _is_same(target: WantedTarget, fact: TargetFact) -> bool:
    return fact.endpoint in ("", target.endpoint)

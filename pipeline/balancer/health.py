"""The health of a target in ELB's terms, computed from its registration and the plane's fact. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

from pipeline.balancer.data_plane import CheckFact, TargetFact
from pipeline.balancer.model import TargetHealth, TargetState
from pipeline.balancer.pools import pools_of
from pipeline.balancer.registry import Registry
from pipeline.balancer.targets import Registration

_UNUSED = "Target group is not configured to receive traffic from the load balancer"
_UNCHECKED = ("none", "pending")
IP_UNUSABLE = "Target.IpUnusable"
"""The reason of a target that is unused because the data plane cannot send anything to its address."""
INTERNAL_ERROR = "Elb.InternalError"
"""The reason of a target of which the data plane says nothing."""
_NO_PLANE = "The load balancer is not running"

Verdict = tuple[TargetState, str, str]


def target_health(
    registration: Registration,
    fact: TargetFact | None,
    *,
    running: bool,
    used: bool,
    checked: bool,
    checked_first: bool = True,
    draining_interval: timedelta = timedelta(0),
) -> TargetHealth:
    """Return the health of a registered target.

    `running`: the data plane runs and carries the group. `used`: a listener forwards to the group, and the load
    balancer is enabled in the target's zone. `checked`: the
    group still has the health check that the target was registered with. Otherwise the data plane no longer checks the
    target, and reports it as up. `checked_first`: it was admitted after its first check.
    `draining_interval`: the time for which it drains when it becomes unhealthy.
    """
    state, reason, description = _verdict(registration, fact, running=running, used=used, checked=checked)
    if state is TargetState.HEALTHY and not checked_first and fact and fact.check.outcome in _UNCHECKED:
        state, reason, description = _initial(fact)
    if state is TargetState.UNHEALTHY and fact and fact.is_down and fact.state_age < draining_interval:
        state = TargetState.UNHEALTHY_DRAINING
    return TargetHealth(
        target=registration.target,
        state=state,
        reason=reason,
        description=description,
        in_flight=fact.in_flight if fact else 0,
        state_age=fact.state_age if fact else timedelta(0),
        since=registration.since,
    )


def group_health(
    registry: Registry,
    owner: str,
    group: str,
    known: Mapping[str, TargetFact] | None,
    registrations: Iterable[Registration] | None = None,
) -> tuple[TargetHealth, ...]:
    """Return the health of a group's targets, or of these registrations among them.

    `known` is None if the data plane does not carry the group.
    """
    used, settings = registry.uses(owner, group), registry.group(owner, group)
    pools = pools_of(registry, owner, group, settings)
    return tuple(
        target_health(
            registration,
            (known or {}).get(registration.target.id),
            running=known is not None,
            used=used and any(pool.has(registration.target.zone) for pool in pools),
            checked=registration.is_checked(settings),
            checked_first=not settings.is_alb,
            draining_interval=settings.attributes.draining_interval,
        )
        for registration in (registry.registrations(owner, group) if registrations is None else registrations)
    )


def _verdict(known: Registration, fact: TargetFact | None, *, running: bool, used: bool, checked: bool) -> Verdict:
    if known.wanted == "out":
        return TargetState.DRAINING, "Target.DeregistrationInProgress", "Target deregistration is in progress"
    if not used:
        return TargetState.UNUSED, "Target.NotInUse", _UNUSED
    if not running:
        return TargetState.UNHEALTHY, INTERNAL_ERROR, _NO_PLANE
    if fact is not None and fact.fault:
        return TargetState.UNUSED, IP_UNUSABLE, fact.fault
    if not known.admitted:
        return _initial(fact)
    if fact is None or not fact.admitted:
        # It may have had traffic before, so it must not be reported as initial.
        return TargetState.UNHEALTHY, INTERNAL_ERROR, "The load balancer sends it nothing"
    if not fact.up:
        return TargetState.UNHEALTHY, *_failure(fact.check, known.check.healthy_threshold)
    if not checked:
        return TargetState.HEALTHY, "", "Not checked: the group's health check changed after it was registered"
    return TargetState.HEALTHY, "", ""


def _initial(fact: TargetFact | None) -> Verdict:
    """Return the verdict for a target that is not in service yet, with the reason if a check has failed."""
    if fact is None:
        return TargetState.INITIAL, "Elb.RegistrationInProgress", "Target registration is in progress"
    failed = fact.check.outcome not in (*_UNCHECKED, "passed")
    text = _failure(fact.check, 1)[1] if failed else "Initial health checks in progress"
    return TargetState.INITIAL, "Elb.InitialHealthChecking", text


def _failure(check: CheckFact, threshold: int) -> tuple[str, str]:
    """Return reason and description for a target that is not healthy. It becomes so after `threshold` passes."""
    if check.outcome == "passed":
        return "Target.FailedHealthChecks", f"Health checks pass again: {check.passes} of {threshold} in a row"
    if check.outcome == "mismatch":
        # A data plane may hide the code while the next check runs.
        codes = f" with these codes: [{check.code}]" if check.code else ": unexpected status code"
        return "Target.ResponseCodeMismatch", f"Health checks failed{codes}"
    if check.outcome == "timeout":
        return "Target.Timeout", "Request timed out"
    return "Target.FailedHealthChecks", f"Health checks failed: {check.text}"

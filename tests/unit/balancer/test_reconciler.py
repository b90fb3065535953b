"""Reconciliation: the admissions and changes that follow from a registry and facts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.balancer.data_plane import CheckFact, Facts, TargetFact
from pipeline.balancer.model import Declaration, Target
from pipeline.balancer.reconciler import reconcile
from pipeline.balancer.registry import Registry
from pipeline.balancer.targets import TargetPhase

NOW = datetime(2026, 11, 24, tzinfo=UTC)
PASSED = CheckFact("passed", passes=1)
PENDING = CheckFact("pending")
NONE = CheckFact("none")


def declaration(path: str = "/") -> Declaration:
    return Declaration.model_validate(
        {
            "target_groups": {name: {"port": 80, "health_check": {"path": path}} for name in ("web", "api")},
            "load_balancers": {"edge": {"listeners": [{"port": 8080, "default_action": {"forward": "web"}}]}},
        }
    )


def registered(*names: str, group: str = "web") -> Registry:
    targets = [Target(id=name, address="10.0.0.1", port=80) for name in names]
    return Registry().declare("shop", declaration()).register("shop", group, targets)


def fact(check: CheckFact = PASSED, *, admitted: bool = False, **more: Any) -> TargetFact:
    given = {"up": admitted, "in_flight": 0, "state_age": timedelta(0), "endpoint": "10.0.0.1:80", **more}
    return TargetFact(admitted=admitted, check=check, **given)


def facts(web: dict[str, TargetFact], **others: dict[str, TargetFact]) -> Facts:
    named = {"web": web, **others}
    return Facts(running=True, at=NOW, targets={f"shop.{group}": known for group, known in named.items()})


def phase(registry: Registry, name: str) -> TargetPhase:
    return next(r.phase for r in registry.registrations("shop", "web") if r.target.id == name)


def test_a_pass_admits() -> None:
    """A passed check admits the target, and the plane is updated."""
    result = reconcile(registered("a"), facts({"a": fact()}))
    (known,) = result.registry.registrations("shop", "web")
    assert (known.admitted, known.since) == (True, NOW)
    assert [(t.id, t.admit) for group in result.steer for t in group.targets] == [("a", True)]


@pytest.mark.parametrize(
    "known",
    [
        fact(PENDING),
        fact(CheckFact("failed", passes=1)),
        fact(CheckFact("mismatch", code="503")),
        fact(CheckFact("passed", passes=0)),
        fact(endpoint="10.0.0.2:80"),
        fact(admitted=True),
    ],
    ids=["pending", "failed", "mismatch", "no pass that counts", "another address", "open before it was registered"],
)
def test_nothing_else_admits(known: TargetFact) -> None:
    """A failed check, one of another address, or one from before the registration admits nothing."""
    registry = registered("a")
    assert reconcile(registry, facts({"a": known})).registry is registry


def test_a_target_that_the_plane_has_not_is_added() -> None:
    """A missing target is added closed, with its check."""
    registry = registered("a")
    result = reconcile(registry, facts({}))
    assert result.registry is registry
    (target,) = result.steer[0].targets
    assert (target.admit, target.check) == (False, registry.group("shop", "web").health_check)


def test_a_deregistered_target_is_never_admitted() -> None:
    """A deregistered target is closed and unchecked, and its passes do not admit it."""
    registry = registered("a").deregister("shop", "web", "a")
    result = reconcile(registry, facts({"a": fact()}))
    assert phase(result.registry, "a") is TargetPhase.DRAINING
    assert [(t.admit, t.check) for t in result.steer[0].targets] == [(False, None)]
    assert reconcile(registry, facts({"a": fact(NONE, in_flight=3)})).steer == ()


def test_admission_ends_once_the_plane_has_closed_it() -> None:
    """Admission ends after the plane has closed the target, not before."""
    admitted = reconcile(registered("a"), facts({"a": fact()})).registry
    leaving = admitted.deregister("shop", "web", "a")
    (known,) = leaving.registrations("shop", "web")
    assert reconcile(leaving, facts({"a": fact(admitted=True)})).registry is leaving
    (closed,) = reconcile(leaving, facts({"a": fact(NONE)})).registry.registrations("shop", "web")
    assert (known.admitted, closed.admitted, closed.since) == (True, False, known.since)


def test_a_changed_check_admits_no_target() -> None:
    """A target with the check of an earlier declaration is not admitted."""
    registry = registered("a").declare("shop", declaration("/new"))
    result = reconcile(registry, facts({"a": fact()}))
    assert phase(result.registry, "a") is TargetPhase.INITIAL


def test_groups_missing_from_the_facts_do_not_change() -> None:
    """A group that is missing from the facts does not change."""
    registry = registered("b", group="api")
    result = reconcile(registry, facts({}))
    assert (result.registry, result.apply, result.steer) == (registry, False, ())


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (fact(PASSED, admitted=True), True),
        (fact(NONE), True),
        (fact(NONE, in_flight=1), False),
        (fact(NONE, admitted=True, in_flight=1), True),
    ],
    ids=["open", "idle", "busy", "open and busy"],
)
def test_unregistered_targets_are_removed(known: TargetFact, expected: bool) -> None:
    """An unregistered target is closed, and removed when it has no open requests."""
    result = reconcile(registered(), facts({"stranger": known}))
    assert bool(result.steer) is expected


def test_a_plane_that_does_not_run_is_started() -> None:
    """A plane that does not run is started if something is declared."""
    away = Facts(running=False, at=NOW, targets={})
    registry = registered("a")
    assert (reconcile(registry, away).apply, reconcile(registry, away).registry) == (True, registry)
    assert reconcile(Registry(), away).apply is False

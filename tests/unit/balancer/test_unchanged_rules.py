"""Rules that stay while others change: nothing is computed for them again, and nothing outdated is left."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.balancer.effective import effective_listeners
from pipeline.balancer.haproxy.configuration import render
from pipeline.balancer.model import Declaration
from pipeline.balancer.registry import Registry
from pipeline.balancer.wanted import plane_config
from tests.support.sample import sampled

GROUPS = ("web", "api", "canary")
SOLO = [{"forward": name} for name in GROUPS]
WEIGHTED = {"forward": [{"target_group": "web", "weight": 2}, {"target_group": "api", "weight": 1}]}
ACTIONS = [*SOLO, WEIGHTED, {"fixed_response": {"status_code": "404"}}]
CONDITIONS = [
    {"host_header": ["a.test"]},
    {"host_header": ["*.a.test", "api.*"]},
    {"host_header": ["x.*.test"]},
    {"path_pattern": ["/a*"]},
    {"path_pattern": ["/ab", "*.png"]},
    {"http_request_method": ["GET"]},
]
TRANSFORMS: list[dict[str, Any]] = [{}, {"url_rewrite": {"regex": "^/a", "replace": "/b"}}]


def _rules() -> st.SearchStrategy[list[dict[str, Any]]]:
    """Few different values, so that many rules are declared again or differ from the former ones in one value."""
    rule = st.fixed_dictionaries(
        {
            "priority": st.integers(1, 6),
            "conditions": st.lists(
                st.sampled_from(CONDITIONS), min_size=1, max_size=2, unique_by=lambda found: next(iter(found))
            ),
            "action": st.sampled_from(ACTIONS),
            "transforms": st.sampled_from(TRANSFORMS),
        }
    )
    return st.lists(rule, max_size=5, unique_by=lambda found: found["priority"])


def _declaration(rules: list[dict[str, Any]], needed: int = 1, port: int = 8080) -> Declaration:
    attributes = {"target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": needed}
    listener = {"port": port, "rules": rules, "default_action": {"forward": "web"}}
    return Declaration.model_validate(
        {
            "target_groups": {name: {"port": 80, "attributes": attributes} for name in GROUPS},
            "load_balancers": {"edge": {"scheme": "internal", "listeners": [listener]}},
        }
    )


@settings(max_examples=sampled(60), deadline=None)
@given(changes=st.lists(st.tuples(_rules(), st.integers(1, 2), st.integers(8080, 8081)), min_size=2, max_size=5))
def test_a_change_gives_the_bytes_of_a_new_balancer(changes: list[Any]) -> None:
    """After any changes, listeners and HAProxy's files are those of a balancer that never had anything else."""
    registry = Registry().declare("blog", _declaration([], port=9000))
    for change in changes:
        registry = registry.declare("shop", _declaration(*change))
        new = Registry().declare("blog", _declaration([], port=9000)).declare("shop", _declaration(*change))
        assert effective_listeners(registry) == effective_listeners(new)
        assert render(plane_config(registry)) == render(plane_config(new))
        assert registry.declaration("shop") == new.declaration("shop")
        assert registry.declares("shop", _declaration(*change))


@settings(max_examples=sampled(60), deadline=None)
@given(before=_rules(), after=_rules())
def test_only_a_changed_rule_is_another_object(before: list[Any], after: list[Any]) -> None:
    """A rule that is declared again as it is stays the same object, with its revision. Any other one does not."""
    old = Registry().declare("shop", _declaration(before))
    new = old.declare("shop", _declaration(after))
    declared = {rule.priority: rule for rule in _declaration(before).load_balancers["edge"].listeners[0].rules}
    wanted = {rule.priority: rule for rule in _declaration(after).load_balancers["edge"].listeners[0].rules}
    known = {made.rule.priority: made for made in old.rules.values()}
    for made in new.rules.values():
        priority = made.rule.priority
        assert (made is known.get(priority)) == (wanted[priority] == declared.get(priority))
    assert (new is old) == (wanted == declared)

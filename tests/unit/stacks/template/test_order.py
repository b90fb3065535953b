"""The order of resources respects their dependencies, whatever the graph."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.stacks.template import JSON, TemplateError
from tests.support.sample import sampled
from tests.unit.stacks.template.good import evaluated

# For each resource: the resources it depends on, and by which function, or under a condition that does not hold.
_WAYS = ("DependsOn", "Ref", "Fn::GetAtt", "Fn::Sub", "chosen", "not chosen")


@st.composite
def graphs(draw: st.DrawFn, *, ways: tuple[str, ...] = _WAYS, cycles: bool = False) -> dict[str, list[tuple[str, str]]]:
    """Draw names, in any order, and edges from each to names before it, or to any name."""
    count = draw(st.integers(1, 12))
    names = draw(st.permutations([f"R{number}" for number in range(count)]))
    edges = {}
    for position, name in enumerate(names):
        others = names if cycles else names[:position]
        targets = st.tuples(st.sampled_from(others), st.sampled_from(ways))
        edges[name] = draw(st.lists(targets, max_size=4)) if others else []
    return {name: edges[name] for name in draw(st.permutations(names))}


def _reference(target: str, way: str) -> JSON:
    forms: dict[str, JSON] = {
        "Ref": {"Ref": target},
        "Fn::GetAtt": {"Fn::GetAtt": [target, "Arn"]},
        "Fn::Sub": {"Fn::Sub": f"${{{target}}} and ${{{target}.Arn}}"},
        "chosen": {"Fn::If": ["Holds", {"Ref": target}, 1]},
        "not chosen": {"Fn::If": ["Holds", 1, {"Fn::GetAtt": [target, "Arn"]}]},
    }
    return forms[way]


def _template(edges: dict[str, list[tuple[str, str]]]) -> str:
    resources = {
        name: {
            "Type": "A::B::C",
            "DependsOn": [target for target, way in targets if way == "DependsOn"],
            "Properties": {"P": [_reference(target, way) for target, way in targets if way != "DependsOn"]},
        }
        for name, targets in edges.items()
    }
    return json.dumps({"Conditions": {"Holds": {"Fn::Equals": ["a", "a"]}}, "Resources": resources})


def _needed(edges: dict[str, list[tuple[str, str]]]) -> dict[str, set[str]]:
    return {name: {target for target, way in targets if way != "not chosen"} for name, targets in edges.items()}


@settings(max_examples=sampled(100), deadline=None)
@given(graphs())
def test_each_resource_follows_its_dependencies(edges: dict[str, list[tuple[str, str]]]) -> None:
    """Without a cycle there is an order, with all resources once, each after all that it needs."""
    found = evaluated(_template(edges))
    assert sorted(found.order) == sorted(edges)
    for name, needed in _needed(edges).items():
        assert set(found.resources[name].depends_on) == needed
        assert all(found.order.index(other) < found.order.index(name) for other in needed)


@settings(max_examples=sampled(100), deadline=None)
@given(graphs(ways=_WAYS[:4], cycles=True))
def test_exactly_the_resources_of_cycles_are_named(edges: dict[str, list[tuple[str, str]]]) -> None:
    """With a cycle, the message names the resources that are in one, or between two, and no others."""
    needed = _needed(edges)
    reach = {name: _reachable(name, needed) for name in needed}
    cyclic = {name for name in needed if name in reach[name]}
    between = [name for name in edges if (reach[name] | {name}) & cyclic and any(name in reach[c] for c in cyclic)]
    if not cyclic:
        evaluated(_template(edges))
        return
    with pytest.raises(TemplateError) as caught:
        evaluated(_template(edges))
    assert caught.value.reason == f"Circular dependency between resources: [{', '.join(between)}]"


def _reachable(name: str, needed: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    ahead = list(needed[name])
    while ahead:
        if (other := ahead.pop()) not in found:
            found.add(other)
            ahead += needed[other]
    return found


def test_without_dependencies_the_order_is_that_of_the_template() -> None:
    """Resources that need nothing keep their order, and a resource comes as early as it may."""
    edges: dict[str, list[tuple[str, str]]] = {"Z": [], "B": [("A", "Ref")], "C": [], "A": []}
    assert evaluated(_template(edges)).order == ("Z", "C", "A", "B")

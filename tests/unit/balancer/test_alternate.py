"""Alternate groups: the division of forwards between two target groups, and its reversal."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.balancer import alternate as transform
from pipeline.balancer.alternate import (
    Alternate,
    alternate_name,
    shares,
    with_alternates,
    with_shares,
    without_alternates,
)
from pipeline.balancer.model import Declaration, SharedGroup
from pipeline.balancer.model import alternate_group as model
from pipeline.balancer.model.application.action import Action
from pipeline.balancer.registry import Registry
from pipeline.balancer.resources import RuleResource
from pipeline.base.errors import ConfigError
from tests.support.sample import sampled

GROUPS = ("web", "api", "admin", "files")
STICKY = {"stickiness.enabled": True, "stickiness.lb_cookie.duration_seconds": 600}
BY_HEADER = model.TestTraffic(header=model.HeaderMatch(name="X-Release", value="next"))
BY_PORT = model.TestTraffic(port=8081)

tenths = st.integers(0, 1000).map(lambda parts: parts / 10)
weighted = st.builds(
    lambda names, weights: [
        {"target_group": n, "weight": w} for n, w in zip(names, [1 + weights[0], *weights[1:]], strict=False)
    ],
    st.permutations(GROUPS),
    st.lists(st.integers(0, 998), min_size=1, max_size=3),
)
forwards = st.builds(
    lambda groups, sticky: {"target_groups": groups, **({"stickiness": {"duration": "10m"}} if sticky else {})},
    weighted,
    st.booleans(),
)
actions = st.one_of(forwards.map(lambda f: {"forward": f}), st.just({"fixed_response": {"status_code": "200"}}))


@st.composite
def listeners(draw: st.DrawFn, port: int) -> dict[str, Any]:
    rules = [
        {"priority": number, "conditions": [{"path_pattern": [f"/{number}"]}], "action": action}
        for number, action in enumerate(draw(st.lists(actions, max_size=3)), start=1)
    ]
    return {"port": port, "rules": rules, "default_action": {"forward": draw(forwards)}}


@st.composite
def declarations(draw: st.DrawFn) -> Declaration:
    sticky = draw(st.sets(st.sampled_from(GROUPS)))
    groups = {name: {"port": 80, "attributes": STICKY if name in sticky else {}} for name in GROUPS}
    found = [draw(listeners(port)) for port in (8000, 8001)][: draw(st.integers(1, 2))]
    return Declaration.model_validate({"target_groups": groups, "load_balancers": {"edge": {"listeners": found}}})


def declare(default: Any = "web", *, groups: dict[str, Any] | None = None, **listener: Any) -> Declaration:
    """Return a declaration with one listener."""
    made = {"port": 8000, "default_action": {"forward": default}, **listener}
    found = {name: {"port": 80, **group} for name, group in (groups or {"web": {}}).items()}
    return Declaration.model_validate({"target_groups": found, "load_balancers": {"edge": {"listeners": [made]}}})


def proportions(action: Action) -> dict[str, Fraction]:
    """Return the exact part of the requests that each target group gets."""
    groups = action.groups()
    whole = sum(group.weight for group in groups)
    return {group.target_group: Fraction(group.weight, whole) for group in groups}


def actions_of(declaration: Declaration) -> list[Action]:
    return [
        action
        for _, _, listener in declaration.listeners()
        for action in (*(rule.action for rule in listener.rules), listener.default_action)
        if action
    ]


@settings(max_examples=sampled(500), deadline=None)
@given(declarations(), tenths)
def test_the_proportions_of_every_forward_are_kept(before: Declaration, share: float) -> None:
    """Both groups together get what the home group got, divided exactly by the share, and the others what they got."""
    assume(before.uses("web"))
    after = with_alternates(before, {"web": Alternate(share)})
    part = Fraction(round(share * 10), 1000)
    for old, new in zip(actions_of(before), actions_of(after), strict=True):
        wanted = proportions(old)
        if "web" in wanted:
            home = wanted.pop("web")
            wanted |= {"web": home * (1 - part), "web-next": home * part}
        assert proportions(new) == wanted
    assert after.target_groups["web-next"] == before.target_groups["web"]


@settings(max_examples=sampled(500), deadline=None)
@given(declarations(), tenths, tenths, st.sampled_from([None, BY_HEADER, BY_PORT]))
def test_without_the_alternate_the_declaration_is_as_before(
    before: Declaration, one: float, other: float, test: Any
) -> None:
    """Shares that come and go leave a declaration byte for byte as it was, also through the registry."""
    assume(before.uses("web"))
    found = with_alternates(before, {"web": Alternate(one, test)})
    found = with_alternates(found, {"web": Alternate(other, test)})
    assert shares(found) == {"web": other}
    stored = Registry().declare("shop", found).declaration("shop")
    assert stored is not None
    read = Declaration.model_validate_json(found.model_dump_json())
    assert read == found
    assert shares(stored) == shares(found)
    for each in (found, read):
        assert with_alternates(each, {}).model_dump_json() == before.model_dump_json()
    assert Registry().declare("shop", without_alternates(stored)).declares("shop", before)


@given(declarations(), tenths, tenths)
def test_several_groups_are_divided_at_a_time(before: Declaration, one: float, other: float) -> None:
    """The shares of two groups do not touch each other, in whatever order they are given."""
    assume(before.uses("web") and before.uses("api"))
    both = {"web": Alternate(one), "api": Alternate(other)}
    found = with_alternates(before, both)
    assert found == with_alternates(before, dict(reversed(both.items())))
    assert shares(found) == {"web": one, "api": other}
    assert with_alternates(found, {"api": Alternate(other)}) == with_alternates(before, {"api": Alternate(other)})


@given(declarations(), tenths, tenths, tenths)
def test_a_share_changes_alone(before: Declaration, one: float, other: float, later: float) -> None:
    """It is what a new declaration would have, and a group without an alternate one gets none."""
    assume(before.uses("web") and before.uses("api"))
    found = with_shares(with_alternates(before, {"web": Alternate(one), "api": Alternate(other)}), {"web": later})
    assert found == with_alternates(before, {"web": Alternate(later), "api": Alternate(other)})
    assert with_shares(before, {"web": later}) == before


def test_a_declaration_at_rest_is_the_same_object() -> None:
    """Nothing is copied where there is nothing to remove."""
    declaration = declare()
    assert with_alternates(declaration, {}) is declaration
    assert without_alternates(declaration) is declaration
    assert shares(declaration) == {}


def test_nothing_of_a_declaration_at_rest_is_stored() -> None:
    """A forward without an alternate group is stored as by earlier versions."""
    assert "alternate" not in declare().model_dump_json()


def test_a_sticky_group_divides_with_group_stickiness() -> None:
    """Clients that stick to a target stick to its group too, for as long, unless the forward says how long."""
    sticky = {"web": {"attributes": STICKY}, "api": {}}
    (only,) = actions_of(with_alternates(declare(groups=sticky), {"web": Alternate(10)}))
    assert only.forward is not None
    assert only.forward.group_stickiness is not None
    assert only.forward.group_stickiness.duration.total_seconds() == 600
    own = {"target_groups": ["web", "api"], "stickiness": {"duration": "5s"}}
    (kept,) = actions_of(with_alternates(declare(own, groups=sticky), {"web": Alternate(10)}))
    assert kept.forward is not None
    assert kept.forward.group_stickiness == kept.forward.stickiness
    (free,) = actions_of(with_alternates(declare(["web", "api"], groups=sticky), {"web": Alternate(10)}))
    assert free.forward is not None
    assert free.forward.group_stickiness is None
    cookie = {"stickiness.enabled": True, "stickiness.type": "app_cookie", "stickiness.app_cookie.cookie_name": "SID"}
    app = {"web": {"attributes": {**cookie, "stickiness.app_cookie.duration_seconds": 7}}}
    (by_app,) = actions_of(with_alternates(declare(groups=app), {"web": Alternate(10)}))
    assert by_app.forward is not None
    assert by_app.forward.group_stickiness is not None
    assert by_app.forward.group_stickiness.duration.total_seconds() == 7


def test_a_test_listener_is_a_copy_for_the_alternate_group() -> None:
    """It has the rules of the first listener, and the alternate group in place of its target group."""
    rules = [{"priority": 1, "conditions": [{"path_pattern": ["/a"]}], "action": {"forward": "api"}}]
    declaration = declare(rules=rules, groups={"web": {}, "api": {}})
    found = with_alternates(declaration, {"web": Alternate(0, BY_PORT)})
    first, test = found.load_balancers["edge"].listeners
    assert (first.port, test.port) == (8000, 8081)
    assert [sorted(listener.groups()) for listener in (first, test)] == [
        ["api", "web", "web-next"],
        ["api", "web-next"],
    ]
    assert [proportions(action) for action in actions_of(found)[2:]] == [{"api": 1}, {"web-next": 1}]


@pytest.mark.parametrize(
    ("declaration", "alternates", "error"),
    [
        (declare(), {"wbe": Alternate(1)}, "target group wbe is not declared"),
        (declare(groups={"web": {}, "api": {}}), {"api": Alternate(1)}, "no listener forwards to target group api, so"),
        (declare(), {"web": Alternate(101)}, "the share of target group web is invalid: Input should be less than"),
        (declare(), {"web": Alternate(0.05)}, "the share of target group web is invalid: must be a multiple of 0.1"),
        (declare(), {"web": Alternate(float("nan"))}, "the share of target group web is invalid: must be a multiple"),
        (
            declare(groups={"web": {}, "web-next": {}}),
            {"web": Alternate(1)},
            "target group web needs the name web-next for the next release, which another target group has",
        ),
        (
            declare("a" * 28, groups={"a" * 28: {}}),
            {"a" * 28: Alternate(1)},
            f"target group {'a' * 28} must have at most 27 characters, because the next release needs {'a' * 28}-next",
        ),
        (
            declare(list("abcde"), groups={name: {} for name in "abcde"}),
            {"a": Alternate(1)},
            "a forward to a and 4 other target groups has no room for a-next: at most 5 are possible",
        ),
        (
            declare(),
            {"web": Alternate(1, model.TestTraffic(port=8000))},
            "test_traffic.port 8000 is the port of a list",
        ),
    ],
    ids=["unknown", "unused", "above 100", "too fine", "no number", "taken", "too long", "six groups", "taken port"],
)
def test_what_cannot_be_divided(declaration: Declaration, alternates: dict[str, Alternate], error: str) -> None:
    """Each mistake is named."""
    with pytest.raises(ConfigError) as caught:
        with_alternates(declaration, alternates)
    assert caught.value.message.startswith(error)


def test_the_longest_name_that_fits() -> None:
    """A target group with 27 characters has an alternate group."""
    name = "a" * 27
    assert len(alternate_name(name)) == 32
    assert shares(with_alternates(declare(name, groups={name: {}}), {name: Alternate(1)})) == {name: 1}
    assert transform.name_mistake(name, {}) is None


def test_a_group_of_another_owner_is_refused() -> None:
    """A service in a target group of a stack cannot have a second one."""
    shared = SharedGroup.model_validate({"target_groups": {"web": {"port": 80}}, "group_owner": "stack"})
    with pytest.raises(ConfigError, match="target group web belongs to another owner") as caught:
        with_alternates(shared, {"web": Alternate(1)})
    assert caught.value.hint == "use strategy: rolling"


def test_a_header_is_not_for_connections() -> None:
    """A network target group can have a test listener only."""
    found = {
        "target_groups": {"db": {"protocol": "TCP", "port": 5432}},
        "load_balancers": {
            "edge": {
                "type": "network",
                "listeners": [{"protocol": "TCP", "port": 5432, "default_action": {"forward": "db"}}],
            }
        },
    }
    declaration = Declaration.model_validate(found)
    with pytest.raises(ConfigError, match="protocol TCP, whose connections have no headers"):
        with_alternates(declaration, {"db": Alternate(1, BY_HEADER)})
    tested = with_alternates(declaration, {"db": Alternate(10, BY_PORT)})
    assert [proportions(action) for action in actions_of(tested)] == [
        {"db": Fraction(9, 10), "db-next": Fraction(1, 10)},
        {"db-next": 1},
    ]
    assert without_alternates(tested) == declaration


def test_rules_for_the_listener_of_another_pipeline_have_no_test_listener() -> None:
    """A listener without a default action has no certificates that a test listener could use."""
    rules = [{"priority": 1, "conditions": [{"path_pattern": ["/a"]}], "action": {"forward": "web"}}]
    guest = declare(rules=rules, default_action=None)
    assert shares(with_alternates(guest, {"web": Alternate(10, BY_HEADER)})) == {"web": 10}
    with pytest.raises(ConfigError, match="no listener with a default_action forwards to target group web") as caught:
        with_alternates(guest, {"web": Alternate(10, BY_PORT)})
    assert caught.value.hint == "use test_traffic.header"


def test_a_rule_of_another_maker_is_not_left_behind() -> None:
    """A rule of a client of the API would go on to a group that the deployment empties, so both exclude each other."""
    registry = Registry().declare("shop", declare())
    (listener,), (group,) = registry.listeners.values(), registry.target_groups.values()
    action = {"forward": {"target_groups": [{"target_group": group.id}]}}
    rule = RuleResource.model_validate(
        {
            "id": "0" * 16,
            "owner": "shop",
            "made_by": "api",
            "listener": listener.id,
            "rule": {"priority": 5, "conditions": [{"path_pattern": ["/api"]}], "action": action},
        }
    )
    divided = with_alternates(declare(), {"web": Alternate(0)})
    error = "rule 5 of shop, made by api, forwards to target group web, whose requests a deployment divides"
    with pytest.raises(ConfigError, match=error) as caught:
        registry.put(rule).declare("shop", divided)
    assert caught.value.hint == ("forward to another target group, or use strategy: rolling for the service of web")
    with pytest.raises(ConfigError, match=error):
        registry.declare("shop", divided).put(rule)
    assert registry.declare("shop", divided).declare("shop", declare()).put(rule).rules

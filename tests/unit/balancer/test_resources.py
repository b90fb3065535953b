"""Resources: the parts of a declaration, and single changes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.balancer.binding import Binding
from pipeline.balancer.compile import compile_declaration, decompile
from pipeline.balancer.effective import effective_listeners
from pipeline.balancer.haproxy.configuration import render
from pipeline.balancer.model import Declaration, Target
from pipeline.balancer.model.application.listener import ListenerSettings
from pipeline.balancer.registry import Registry
from pipeline.balancer.resources import (
    DECLARED,
    BalancerResource,
    CertificateResource,
    ListenerResource,
    LoadBalancerResource,
    Resources,
    RuleResource,
    TargetGroupResource,
)
from pipeline.balancer.wanted import plane_config
from pipeline.base.errors import ConfigError
from tests.support.sample import sampled

GROUPS = ("web", "api", "canary")


def declaration(**changes: Any) -> Declaration:
    rule = {"priority": 10, "conditions": [{"path_pattern": ["/api"]}], "action": {"forward": "api"}}
    declared = {
        "target_groups": {name: {"port": 80} for name in GROUPS},
        "load_balancers": {
            "edge": {
                "scheme": "internal",
                "listeners": [{"port": 8080, "rules": [rule], "default_action": {"forward": "web"}}],
            }
        },
    }
    return Declaration.model_validate({**declared, **changes})


REGISTRY = Registry().declare("shop", declaration())


def only(kind: str, registry: Resources = REGISTRY) -> Any:
    """Return the only resource of a kind."""
    (found,) = getattr(registry, kind).values()
    return found


def group(name: str) -> TargetGroupResource:
    return next(found for found in REGISTRY.target_groups.values() if found.name == name)


# --- Declarations as resources


def _actions() -> st.SearchStrategy[dict[str, Any]]:
    shares = st.dictionaries(st.sampled_from(GROUPS), st.integers(1, 9), min_size=1)
    weighted = shares.map(lambda found: [{"target_group": name, "weight": weight} for name, weight in found.items()])
    return st.one_of(
        st.builds(lambda forward: {"forward": forward}, weighted),
        st.just({"fixed_response": {"status_code": "404", "message_body": "no"}}),
        st.just({"redirect": {"protocol": "HTTPS", "port": "443", "status_code": "HTTP_301"}}),
    )


@st.composite
def _listeners(draw: st.DrawFn, port: int, *, guest: bool) -> dict[str, Any]:
    priorities = draw(st.lists(st.integers(1, 30), unique=True, min_size=int(guest), max_size=4))
    rules = [
        {
            "priority": 2 * priority + guest,
            "conditions": [draw(st.sampled_from([{"path_pattern": ["/a*", "/b"]}, {"host_header": ["*.test"]}]))],
            "action": draw(_actions()),
        }
        for priority in priorities
    ]
    if guest:
        return {"port": port, "rules": rules}
    found = {"port": port, "rules": rules, "default_action": draw(_actions())}
    if draw(st.booleans()):
        names = draw(st.lists(st.sampled_from(["a.pem", "b.pem", "c.pem"]), unique=True, min_size=1))
        found |= {"protocol": "HTTPS", "certificates": [{"certificate": name} for name in names]}
    return found


@st.composite
def declarations(draw: st.DrawFn) -> Declaration:
    """A declaration that joins listeners of another owner and has others."""
    ports = draw(st.lists(st.integers(8001, 8009), unique=True, min_size=1, max_size=4))
    guests = draw(st.lists(st.sampled_from([8080, 8081]), unique=True))
    listeners = [draw(_listeners(port, guest=False)) for port in ports]
    listeners += [draw(_listeners(port, guest=True)) for port in guests]
    balancers = {"edge": listeners[::2], "back": listeners[1::2]}
    return Declaration.model_validate(
        {
            "target_groups": {
                name: {"port": 80, "attributes": {"slow_start.duration_seconds": draw(st.sampled_from([0, 30]))}}
                for name in GROUPS
            },
            "load_balancers": {
                name: {"scheme": "internal", "listeners": found} for name, found in balancers.items() if found
            },
        }
    )


OTHER = Registry().declare(
    "other",
    declaration(
        load_balancers={
            "its": {
                "scheme": "internal",
                "listeners": [{"port": port, "default_action": {"forward": "web"}} for port in (8080, 8081)],
            }
        }
    ),
)


@settings(max_examples=sampled(60), deadline=None)
@given(declared=declarations(), data=st.data())
def test_applying_is_putting_one_by_one(declared: Declaration, data: st.DataObject) -> None:
    """Single puts in any valid order give the same resources and bytes as a declaration."""
    applied = OTHER.declare("shop", declared)
    left = {resource.id: resource for resource in compile_declaration("shop", declared).all()}
    registry = OTHER
    while left:
        there = {resource.id for resource in registry.all()}
        possible = sorted(id_ for id_, resource in left.items() if resource.requires() <= there)
        registry = registry.put(left.pop(data.draw(st.sampled_from(possible))))
    assert registry == applied
    assert registry.declares("shop", declared)
    assert render(plane_config(registry)) == render(plane_config(applied))
    assert registry.withdraw("shop") == OTHER


@settings(max_examples=sampled(40), deadline=None)
@given(declared=declarations())
def test_resources_tell_what_was_declared(declared: Declaration) -> None:
    """A decompiled declaration has listeners by port and rules by priority."""
    registry = OTHER.declare("shop", declared)
    again = registry.declaration("shop")
    assert again is not None
    assert compile_declaration("shop", again) == compile_declaration("shop", declared)
    assert decompile("shop", compile_declaration("shop", again)) == again
    assert Registry.model_validate_json(registry.model_dump_json(exclude_unset=True)) == registry


def test_ids_follow_from_names() -> None:
    """The same names give the same ids, and other names give other ids."""
    ids = {resource.id for resource in compile_declaration("shop", declaration()).all()}
    assert ids == {resource.id for resource in compile_declaration("shop", declaration()).all()}
    assert ids.isdisjoint(resource.id for resource in compile_declaration("blog", declaration()).all())
    renamed = declaration(load_balancers={"front": declaration().load_balancers["edge"].model_dump()})
    kept = ids & {resource.id for resource in compile_declaration("shop", renamed).all()}
    assert kept == {group(name).id for name in GROUPS}


def test_an_unchanged_declaration_changes_no_revision() -> None:
    """Only changed resources get the next revision."""
    again = REGISTRY.declare("shop", declaration())
    assert {r.revision for r in again.all()} == {1}
    groups = {**{name: {"port": 80} for name in GROUPS}, "api": {"port": 81}}
    changed = again.declare("shop", declaration(target_groups=groups))
    assert {r.label: r.revision for r in changed.all() if r.revision != 1} == {"target group api of shop": 2}


# --- One by one


def rule(priority: int, made_by: str = "api", target_group: str | None = None, number: int = 1) -> RuleResource:
    """Return a rule of the listener, made by an API."""
    found = only("rules")
    action = {"forward": target_group or group("web").id}
    changed = {"priority": priority, "conditions": [{"path_pattern": ["/x"]}], "action": action}
    return RuleResource.model_validate(
        {
            "id": f"{number:016x}",
            "owner": "shop",
            "made_by": made_by,
            "listener": found.listener,
            "rule": changed,
        }
    )


def test_what_others_made_stays() -> None:
    """A declaration replaces only resources that a declaration made."""
    registry = REGISTRY.put(rule(20))
    assert [owned.rule.priority for owned in effective_listeners(registry)[0].rules] == [10, 20]
    again = registry.declare("shop", declaration())
    assert again.rules[rule(20).id].made_by == "api"
    assert again.declares("shop", declaration())
    assert registry.declaration("shop") == REGISTRY.declaration("shop")
    gone = again.replace("shop", DECLARED, Resources().with_resources(*_without_rules()))
    assert [owned.rule.priority for owned in effective_listeners(gone)[0].rules] == [20]


def test_withdrawn_declarations_leave_what_others_made() -> None:
    """A load balancer of the API stays, with its listener. A rule that needs what was declared goes."""
    own = {"owner": "shop", "made_by": "api"}
    balancer = only("load_balancers").bare().model_copy(update={**own, "id": "a" * 16, "name": "other"})
    listener = ListenerResource.model_validate(
        {
            **own,
            "id": "b" * 16,
            "load_balancer": balancer.id,
            "settings": {"port": 9090, "default_action": {"fixed_response": {"status_code": "404"}}},
        }
    )
    target = group("web").bare().model_copy(update={**own, "id": "c" * 16, "name": "own"})
    stays = rule(10, target_group=target.id, number=5).model_copy(update={"listener": listener.id})
    forwards = rule(20, number=6).model_copy(update={"listener": listener.id})
    registry = REGISTRY.put(balancer, listener, target, stays, forwards, rule(30, number=7))
    assert {one.id for one in registry.withdraw("shop").all()} == {balancer.id, listener.id, target.id, stays.id}


def test_listeners_of_the_latest_registries_are_kept() -> None:
    """A change asks for those before and after it in turns. Neither is computed again, but old ones are forgotten."""
    before, after = REGISTRY.put(rule(20)), REGISTRY.put(rule(30))
    first, second = effective_listeners(before), effective_listeners(after)
    assert effective_listeners(before) is first
    for priority in range(40, 50):
        effective_listeners(REGISTRY.put(rule(priority)))
        assert effective_listeners(before) is first
    assert effective_listeners(after) is not second


def _without_rules() -> list[BalancerResource]:
    return [r for r in compile_declaration("shop", declaration()).all() if not isinstance(r, RuleResource)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda: REGISTRY.put(rule(20, target_group="f" * 16)), "needs ffffffffffffffff, which does not exist"),
        (lambda: REGISTRY.put(rule(10)), "rule 10 of shop already exists"),
        (lambda: REGISTRY.drop(group("web").id), f"needs {group('web').id}, which does not exist"),
        (lambda: REGISTRY.drop(only("load_balancers").id), "which does not exist"),
        (lambda: REGISTRY.put(rule(20).at_revision(1)), "does not exist any more"),
        (lambda: OTHER.declare("shop", declaration(load_balancers=_edge(8081))), "taken by load balancer its of other"),
    ],
)
def test_what_cannot_be(change: Callable[[], Registry], expected: str) -> None:
    """An invalid change is refused with its reason."""
    with pytest.raises(ConfigError, match=expected):
        change()


def _edge(port: int, **more: Any) -> dict[str, Any]:
    listener = {"port": port, "default_action": {"forward": "web"}}
    return {"edge": {"scheme": "internal", "listeners": [listener], **more}}


def test_another_owners_group() -> None:
    """A rule must not forward to another owner's group."""
    registry = OTHER.declare("shop", declaration(load_balancers=_edge(8001)))
    theirs = next(g for g in registry.target_groups.values() if (g.owner, g.name) == ("other", "web"))
    listener = next(found for found in registry.listeners.values() if found.owner == "shop")
    made = rule(20, target_group=theirs.id).model_copy(update={"listener": listener.id})
    with pytest.raises(ConfigError, match="rule 20 of shop refers to a resource of another owner"):
        registry.put(made)


def test_a_change_names_the_revision_that_it_is_for() -> None:
    """A change for an old revision is refused, and 0 stands for any revision."""
    registry = REGISTRY.put(rule(20))
    first = registry.rules[rule(20).id]
    registry = registry.put(rule(21).at_revision(1))
    assert registry.rules[first.id].revision == 2
    with pytest.raises(ConfigError, match="is at revision 2, but the change is for revision 1"):
        registry.put(rule(22).at_revision(1))
    assert registry.put(rule(21)) is registry
    assert registry.put(rule(22)).rules[first.id].revision == 3


def test_dropping() -> None:
    """A resource that no other needs can be dropped, with the targets of a group."""
    registry = REGISTRY.register("shop", "canary", [Target(id="a", address="10.0.0.1", port=80)])
    gone = registry.drop(group("canary").id, only("rules").id)
    assert {found.name for found in gone.target_groups.values()} == {"web", "api"}
    assert (gone.rules, gone.targets) == ({}, {})


def test_a_group_with_targets_keeps_its_protocol() -> None:
    """A single put must not change the protocol of a group with targets."""
    registry = REGISTRY.register("shop", "web", [Target(id="a", address="10.0.0.1", port=80)])
    changed = group("web").settings.model_copy(update={"protocol": "HTTPS"})
    other = group("web").model_copy(update={"settings": changed, "revision": 0})
    with pytest.raises(ConfigError, match="protocol of target group web cannot change from HTTP to HTTPS"):
        registry.put(other)
    assert REGISTRY.put(other).group("shop", "web").protocol == "HTTPS"


# --- Where listeners are bound


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("*", "*", True),
        ("*", "10.0.0.1", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("*", "[::1]", False),
        ("[::]", "*", True),
        ("[::]", "10.0.0.1", True),
        ("0.0.0.0", "10.0.0.1", True),
        ("[::1]", "[::2]", False),
    ],
)
def test_bindings(one: str, other: str, overlap: bool) -> None:
    """Bindings clash if the kernel would refuse both, and on one port only."""
    assert Binding((one,), 80).overlaps(Binding((other,), 80)) is overlap
    assert Binding((other,), 80).overlaps(Binding((one,), 80)) is overlap
    assert not Binding((one,), 80).overlaps(Binding((other,), 81))


def test_bindings_of_zones() -> None:
    """Of two load balancers with zones, no node may have an address of the other."""
    nodes = Binding(("127.0.0.2", "127.0.0.3"), 80)
    assert nodes.overlaps(Binding(("127.0.0.4", "127.0.0.3"), 80))
    assert not nodes.overlaps(Binding(("127.0.0.4", "127.0.0.5"), 80))


def at(address: str, owner: str, registry: Registry = REGISTRY, **listener: Any) -> Registry:
    """Return an owner's listener on port 9000 at an address."""
    found = {"port": 9000, "default_action": {"forward": "web"}, **listener}
    return registry.declare(owner, declaration(load_balancers={"edge": {"address": address, "listeners": [found]}}))


def test_two_listeners_of_one_port() -> None:
    """Listeners of one port need different addresses, and each has its own files."""
    registry = at("127.0.0.2", "two", at("127.0.0.1", "one"))
    found = [shared for shared in effective_listeners(registry) if shared.port == 9000]
    assert [(shared.owner, shared.number) for shared in found] == [("one", 9000), ("two", 109000)]
    names = render(plane_config(registry)).configuration
    assert "relay:9000\n" in names
    assert "relay:109000\n" in names
    with pytest.raises(ConfigError, match="port 9000 of load balancer edge of three is taken by load balancer edge of"):
        at("0.0.0.0", "three", registry)


def test_a_listener_keeps_its_number() -> None:
    """A listener keeps its number when others of its port are removed."""

    def numbers(registry: Registry) -> dict[str, int]:
        return {shared.owner: shared.number for shared in effective_listeners(registry) if shared.port == 9000}

    registry = at("127.0.0.1", "b", at("127.0.0.2", "a"))
    assert numbers(registry) == {"a": 9000, "b": 109000}
    registry = registry.withdraw("a")
    assert numbers(registry) == {"b": 109000}
    registry = Registry.model_validate_json(registry.model_dump_json(exclude_unset=True))
    registry = at("127.0.0.1", "b", registry, default_action={"fixed_response": {"status_code": 404}})
    assert numbers(registry) == {"b": 109000}
    assert numbers(at("127.0.0.3", "c", registry)) == {"b": 109000, "c": 9000}
    moved = at("127.0.0.1", "b", at("127.0.0.3", "c", registry), port=9001)
    assert {shared.owner: shared.number for shared in effective_listeners(moved)}["b"] == 9001


def test_whose_listener_rules_join() -> None:
    """Rules join the listener at their address, which they must name if there are several."""
    registry = at("127.0.0.2", "two", at("127.0.0.1", "one"))
    rules = [{"priority": 1, "conditions": [{"path_pattern": ["/x"]}], "action": {"forward": "web"}}]
    joined = at("127.0.0.2", "guest", registry, default_action=None, rules=rules)
    assert {shared.owner: len(shared.rules) for shared in effective_listeners(joined) if shared.port == 9000} == {
        "one": 0,
        "two": 1,
    }
    with pytest.raises(ConfigError) as refused:
        at("127.0.0.3", "guest", registry, default_action=None, rules=rules)
    assert str(refused.value) == (
        "load balancer edge of guest adds rules to port 9000, which has several listeners\n"
        "set address to one of 127.0.0.1, 127.0.0.2"
    )


def test_an_https_listener_waits_for_its_certificate() -> None:
    """An HTTPS listener without a certificate is not effective."""
    balancer = LoadBalancerResource.model_validate(
        {"id": "1" * 16, "owner": "shop", "made_by": "api", "name": "tls", "settings": {"scheme": "internal"}}
    )
    listener = ListenerResource(
        id="2" * 16,
        owner="shop",
        made_by="api",
        load_balancer=balancer.id,
        settings=ListenerSettings.model_validate(
            {"protocol": "HTTPS", "port": 8443, "default_action": {"forward": group("web").id}}
        ),
    )
    registry = REGISTRY.put(balancer).put(listener)
    assert [shared.port for shared in effective_listeners(registry)] == [8080]
    certificate = {"id": "3" * 16, "owner": "shop", "listener": listener.id, "position": 0}
    registry = registry.put(
        CertificateResource.model_validate({**certificate, "certificate": {"certificate": "a.pem"}})
    )
    assert [shared.port for shared in effective_listeners(registry)] == [8080, 8443]


@pytest.mark.parametrize("owner", ["shop", "other"])
def test_certificates_join_a_listener_with_the_rules(owner: str) -> None:
    """A load balancer that adds rules to a listener adds its certificates too, whoever owns the listener."""
    action = {"forward": "web"}
    rule = {"priority": 5, "conditions": [{"path_pattern": ["/x"]}], "action": action}
    edge = {"port": 8443, "protocol": "HTTPS", "certificates": [{"certificate": "a.pem"}], "default_action": action}
    more = {"port": 8443, "certificates": [{"certificate": "b.pem"}], "rules": [rule]}
    first, second = {"edge": {"listeners": [edge]}}, {"more": {"listeners": [more]}}
    if owner == "shop":
        registry = Registry().declare("shop", declaration(load_balancers={**first, **second}))
    else:
        registry = Registry().declare("shop", declaration(load_balancers=first))
        registry = registry.declare(owner, declaration(load_balancers=second))
    (found,) = effective_listeners(registry)
    assert [certificate.certificate for certificate in found.certificates] == ["a.pem", "b.pem"]

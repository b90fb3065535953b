"""Listeners shared by several owners, and changes when an owner comes or goes."""

from __future__ import annotations

import http.client
from contextlib import closing
from typing import Any

import pytest

from pipeline.balancer.model import Declaration, TargetState
from pipeline.base.errors import ConfigError
from tests.support.ports import free_ports
from tests.support.waiting import DEADLINE
from tests.system.alb import Alb

A, B, C = "alpha", "beta", "gamma"


def says(text: str) -> dict[str, Any]:
    return {"fixed_response": {"status_code": 200, "message_body": text}}


def rule(priority: int, path: str, action: dict[str, Any]) -> dict[str, Any]:
    return {"priority": priority, "conditions": [{"path_pattern": [path]}], "action": action}


def own(alb: Alb, owner: str = A, *rules: dict[str, Any]) -> None:
    """Declare the listener."""
    alb.declare({"rules": list(rules), "default_action": says(f"default of {owner}")}, owner=owner)


def join(alb: Alb, owner: str, *rules: dict[str, Any], port: int | None = None) -> None:
    """Add rules to another owner's listener."""
    alb.declare({"port": port or alb.port, "rules": list(rules)}, owner=owner)


def answers(alb: Alb, *paths: str) -> list[str]:
    return [alb.ask(path).text for path in paths]


def test_rules_of_others_join_a_listener(alb: Alb) -> None:
    """Rules of all owners apply by priority, and the default action is the listener's."""
    own(alb, A, rule(20, "/a*", says("a")))
    join(alb, B, rule(10, "/ab*", says("b")), rule(30, "/*", says("rest of b")))
    join(alb, C, rule(5, "/abc", says("c")), rule(25, "/d", says("d")))
    assert answers(alb, "/a", "/ab", "/abc", "/d", "/e") == ["a", "b", "c", "d", "rest of b"]
    join(alb, B, rule(10, "/ab*", says("b")))
    assert answers(alb, "/a", "/ab", "/abc", "/d", "/e") == ["a", "b", "c", "d", "default of alpha"]


def test_rules_leave_with_their_owner(alb: Alb) -> None:
    """A withdrawal removes the owner's rules only."""
    own(alb, A, rule(20, "/a", says("a")))
    join(alb, B, rule(10, "/b", says("b")))
    join(alb, C, rule(30, "/c", says("c")))
    alb.balancer.withdraw(B)
    assert answers(alb, "/a", "/b", "/c") == ["a", "default of alpha", "c"]
    alb.balancer.withdraw(C)
    assert answers(alb, "/a", "/b", "/c") == ["a", "default of alpha", "default of alpha"]


def test_rules_before_the_listener(alb: Alb) -> None:
    """Rules have no effect until an owner declares their listener."""
    join(alb, B, rule(10, "/b", says("b")))
    with pytest.raises(ConnectionRefusedError):
        alb.ask("/b")
    own(alb, A, rule(20, "/a", says("a")))
    assert answers(alb, "/b", "/a", "/x") == ["b", "a", "default of alpha"]


def test_rules_wait_when_the_listener_goes(alb: Alb) -> None:
    """Rules wait for the next listener when its owner withdraws."""
    own(alb, A, rule(20, "/a", says("a")))
    join(alb, B, rule(10, "/b", says("b")))
    alb.balancer.withdraw(A)
    with pytest.raises(ConnectionRefusedError):
        alb.ask("/b")
    own(alb, C)
    assert answers(alb, "/b", "/a") == ["b", "default of gamma"]


def test_what_is_internal_is_not_published(alb: Alb) -> None:
    """Rules of an internal load balancer do not join an internet-facing listener."""
    own(alb, A)
    declared = alb.balancer.declaration(A)
    assert declared is not None
    edge = declared.load_balancers["edge"].model_copy(update={"scheme": "internet-facing", "address": "127.0.0.1"})
    alb.balancer.apply(
        A, Declaration.model_validate({**declared.model_dump(), "load_balancers": {"edge": edge.model_dump()}})
    )
    with pytest.raises(ConfigError, match="load balancer edge of beta is internal"):
        join(alb, B, rule(10, "/b", says("b")))


def test_same_priority_is_refused(alb: Alb) -> None:
    """The error names the port, the priority and both owners, and nothing changes."""
    own(alb, A, rule(10, "/a", says("a")))
    with pytest.raises(ConfigError) as refused:
        join(alb, B, rule(9, "/b", says("b")), rule(10, "/c", says("c")))
    assert str(refused.value) == (
        f"priority 10 on port {alb.port} is taken twice: by alpha and by beta\n"
        "give one of the two rules another priority"
    )
    assert answers(alb, "/a", "/b") == ["a", "default of alpha"]
    assert alb.balancer.declaration(B) is None


def test_two_default_actions_are_refused(alb: Alb) -> None:
    """A port has one default action, and the error names both owners and a solution."""
    own(alb, B)
    with pytest.raises(ConfigError) as refused:
        own(alb, A)
    assert str(refused.value) == (
        f"port {alb.port} of load balancer edge of alpha is taken by load balancer edge of beta\n"
        "use another port, or leave default_action out to add rules to that listener"
    )
    assert answers(alb, "/") == ["default of beta"]


def test_a_clash_that_came_first_is_refused_for_the_later(alb: Alb) -> None:
    """A clash is blamed on the owner whose change causes it."""
    own(alb, A, rule(10, "/a", says("a")))
    join(alb, B, rule(20, "/b", says("b")))
    own(alb, A, rule(10, "/a", says("changed")))
    with pytest.raises(ConfigError, match="by beta and by alpha"):
        own(alb, A, rule(20, "/a", says("a")))
    assert answers(alb, "/a", "/b") == ["changed", "b"]


def test_targets_of_others_are_left_alone(alb: Alb) -> None:
    """Groups of the same name belong to their owners, and rules reach their own."""
    own(alb, A, rule(20, "/a", {"forward": "web"}))
    join(alb, B, rule(10, "/b", {"forward": "web"}))
    alb.serve("a", owner=A)
    (target,) = alb.serve("b", owner=B)
    assert [alb.ask(path).seen["server"] for path in ("/a", "/b")] == ["a", "b"]
    alb.balancer.deregister(B, "web", target.name)
    assert alb.states(owner=A) == {"a": TargetState.HEALTHY}.items()
    alb.balancer.withdraw(B)
    assert alb.ask("/a").seen["server"] == "a"
    alb.serve("second", owner=A)
    join(alb, B, rule(10, "/b", {"forward": "web"}))
    assert alb.ask("/b").status == 503
    assert {alb.ask("/a").seen["server"] for _ in range(6)} == {"a", "second"}
    (again,) = alb.serve("b", owner=B)
    assert (alb.ask("/b").seen["server"], again.requests) == ("b", 1)


def test_weights_of_others_are_left_alone(alb: Alb) -> None:
    """One owner's weights change without a reload and without effect on others."""
    groups: dict[str, dict[str, object]] = {"blue": {}, "green": {}}

    def weigh(owner: str, priority: int, blue: int) -> None:
        shares = [{"target_group": "blue", "weight": blue}, {"target_group": "green", "weight": 1 - blue}]
        listener = {"port": alb.port, "rules": [rule(priority, f"/{owner}", {"forward": shares})]}
        alb.declare(listener, groups=groups, owner=owner)

    own(alb, C)
    for number, owner in enumerate((A, B), start=1):
        weigh(owner, number, 1)
        for group in groups:
            alb.serve(f"{group}-of-{owner}", group=group, owner=owner)
    worker = alb.worker()
    weigh(B, 2, 0)
    assert {alb.ask("/alpha").seen["server"] for _ in range(10)} == {"blue-of-alpha"}
    assert {alb.ask("/beta").seen["server"] for _ in range(10)} == {"green-of-beta"}
    assert alb.worker() == worker


def test_another_port_is_another_listener(alb: Alb) -> None:
    """Rules apply to their port only, and priorities clash only there."""
    (port,) = free_ports(1)
    own(alb, A, rule(10, "/x", says("a")))
    alb.declare({"port": port, "default_action": says("default of gamma")}, owner=C)
    join(alb, B, rule(10, "/x", says("b")), port=port)
    assert (alb.ask("/x").text, alb.ask("/x", port=port).text) == ("a", "b")
    assert (alb.ask("/y").text, alb.ask("/y", port=port).text) == ("default of alpha", "default of gamma")


def test_two_listeners_of_one_port(alb: Alb) -> None:
    """Two owners may listen on one port at different addresses, each with its rules."""

    def edge(address: str, listener: dict[str, Any]) -> Declaration:
        balancer = {"address": address, "listeners": [{"port": alb.port, **listener}]}
        return Declaration.model_validate(
            {"target_groups": {"web": {"port": 80}}, "load_balancers": {"edge": balancer}}
        )

    def ask(address: str, path: str) -> str:
        connection = http.client.HTTPConnection(address, alb.port, timeout=DEADLINE)
        with closing(connection):
            connection.request("GET", path)
            return connection.getresponse().read().decode()

    try:
        alb.balancer.apply(A, edge("127.0.0.1", {"default_action": says("a")}))
        alb.balancer.apply(
            B, edge("127.0.0.2", {"default_action": says("b"), "rules": [rule(1, "/x", says("x of b"))]})
        )
        alb.balancer.apply(C, edge("127.0.0.2", {"rules": [rule(2, "/y", says("y of c"))]}))
        assert [ask("127.0.0.1", path) for path in ("/", "/x", "/y")] == ["a", "a", "a"]
        assert [ask("127.0.0.2", path) for path in ("/", "/x", "/y")] == ["b", "x of b", "y of c"]
        alb.balancer.withdraw(A)
        assert [ask("127.0.0.2", path) for path in ("/", "/x", "/y")] == ["b", "x of b", "y of c"]
        with pytest.raises(ConfigError, match="taken by load balancer edge of beta"):
            alb.balancer.apply(A, edge("0.0.0.0", {"default_action": says("a")}))
    finally:
        for owner in (A, B, C):
            alb.balancer.withdraw(owner)

"""Declarations of network load balancers: their resources, and how they share ports with others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.binding import Binding
from pipeline.balancer.compile import compile_declaration
from pipeline.balancer.effective import EffectiveNetworkListener, effective_listeners
from pipeline.balancer.model import Action, Declaration, LoadBalancer, NetworkListener, NetworkTargetGroup, Target
from pipeline.balancer.model.protocol import transports
from pipeline.balancer.registry import Registry
from pipeline.balancer.registry_snapshot import dump, load
from pipeline.balancer.resources import ListenerResource, LoadBalancerResource, RuleResource
from pipeline.base.errors import ConfigError
from pipeline.testing.fakes.data_plane import FakePlane

GROUPS: dict[str, Any] = {
    "web": {"port": 80},
    "db": {"protocol": "TCP", "port": 5432},
    "safe": {"protocol": "TLS", "port": 5433, "health_check": {"protocol": "HTTP", "path": "/up"}},
}
LISTENERS: list[dict[str, Any]] = [
    {"protocol": "TCP", "port": 5432, "default_action": {"forward": "db"}},
    {
        "protocol": "TLS",
        "port": 5433,
        "certificates": [{"certificate": "a.pem"}, {"certificate": "b.pem"}],
        "alpn_policy": "HTTP2Optional",
        "attributes": {"tcp.idle_timeout.seconds": 60},
        "default_action": {"forward": [{"target_group": "db", "weight": 3}, "safe"]},
    },
]


def declaration(*listeners: dict[str, Any], web: list[dict[str, Any]] | None = None) -> Declaration:
    edge = {"type": "network", "scheme": "internal", "listeners": list(listeners) or LISTENERS}
    front = {"scheme": "internal", "listeners": web or [{"port": 8000, "default_action": {"forward": "web"}}]}
    return Declaration.model_validate({"target_groups": GROUPS, "load_balancers": {"edge": edge, "front": front}})


def test_a_declaration_is_kept_as_it_is() -> None:
    """Resources, their stored form and its reading give the declaration back, with both kinds in it."""
    declared = declaration()
    registry = Registry().declare("shop", declared)
    registry = registry.register("shop", "db", [Target(id="db-1", address="10.0.0.1", port=5432)])
    assert registry.declaration("shop") == declared
    assert registry.declares("shop", declared)
    stored = load(dump(registry).encode())
    assert stored.declaration("shop") == declared
    (known,) = stored.registrations("shop", "db")
    assert known.check.protocol == "TCP"
    assert known.is_checked(stored.group("shop", "db"))


@pytest.mark.parametrize("protocol", ["TCP", "UDP", "TCP_UDP"])
def test_a_stored_release_has_every_default(protocol: str) -> None:
    """A release is stored with the defaults of all keys, and read again."""
    group = {"protocol": protocol, "port": 53}
    listener = {"protocol": protocol, "port": 53, "default_action": {"forward": "dns"}}
    edge = {"type": "network", "listeners": [listener]}
    declared = Declaration.model_validate({"target_groups": {"dns": group}, "load_balancers": {"edge": edge}})
    assert Declaration.model_validate_json(declared.model_dump_json()) == declared


def test_effective_listeners_of_both_kinds() -> None:
    """Each listener has the settings of its own kind, and the URL of its protocol."""
    found = effective_listeners(Registry().declare("shop", declaration()))
    assert [(one.listener.url, isinstance(one, EffectiveNetworkListener)) for one in found] == [
        ("tcp://localhost:5432", True),
        ("tls://localhost:5433", True),
        ("http://localhost:8000", False),
    ]
    assert found[1].groups() == {("shop", "db"), ("shop", "safe")}
    assert [certificate.certificate for certificate in found[1].certificates] == ["a.pem", "b.pem"]


def test_defaults_of_target_groups() -> None:
    """The check of a target group connects only if nothing else is given, and accepts redirects over HTTP."""
    groups = declaration().target_groups
    assert (groups["db"].health_check.protocol, groups["web"].health_check.protocol) == ("TCP", "HTTP")
    assert (groups["safe"].check_matcher, groups["safe"].check_path) == ("200-399", "/up")
    assert NetworkTargetGroup(protocol="TCP", port=1).health_check.protocol == "TCP"


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [("TCP", "UDP", False), ("TLS", "TCP", True), ("TCP_UDP", "UDP", True), ("TCP_UDP", None, True)],
)
def test_ports_of_two_transports(one: str, other: str | None, overlap: bool) -> None:
    """Port 53 of UDP is another port than port 53 of TCP."""
    assert Binding("*", 53, transports(one)).overlaps(Binding("*", 53, transports(other))) is overlap


def test_ids_of_listeners() -> None:
    """A listener of UDP has another id than one of TCP on its port, so both can be declared."""
    tcp = declaration().load_balancers["edge"].listeners[0]
    action = Action.model_validate({"forward": "dns"})
    udp = NetworkListener.model_construct(**{**dict(tcp), "protocol": "UDP", "default_action": action})
    dns = NetworkTargetGroup.model_construct(protocol="UDP", port=53)
    edge = declaration().load_balancers["edge"]
    edge = edge.model_copy(update={"listeners": (tcp, udp), "scheme": "internet-facing"})
    groups = {**declaration().target_groups, "dns": dns}
    declared = declaration().model_copy(update={"load_balancers": {"edge": edge}, "target_groups": groups})
    registry = Registry().declare("shop", declared)
    assert [one.listener.url for one in effective_listeners(registry)] == [
        "tcp://localhost:5432",
        "udp://localhost:5432",
    ]
    before = declared.model_copy(
        update={"load_balancers": {"edge": edge.model_copy(update={"listeners": edge.listeners[:1]})}}
    )
    assert Registry().declare("shop", before).listeners.keys() < registry.listeners.keys()


def test_a_model_stays_of_its_kind() -> None:
    """Declarations may be made of models, and a model of another section is refused."""
    declared = declaration()
    assert Declaration(target_groups=declared.target_groups, load_balancers=declared.load_balancers) == declared
    with pytest.raises(ValidationError, match="must not be a NetworkTargetGroup"):
        Declaration.model_validate({"target_groups": GROUPS, "load_balancers": {"edge": declared.target_groups["db"]}})
    with pytest.raises(ValidationError, match="valid dictionary or instance of LoadBalancer"):
        Declaration.model_validate({"target_groups": GROUPS, "load_balancers": {"edge": 5}})


def _put(*resources: Any) -> None:
    Registry().declare("shop", declaration()).put(*resources)


def _compiled(kind: type, declared: Declaration | None = None) -> list[Any]:
    return [one for one in compile_declaration("shop", declared or declaration()).all() if isinstance(one, kind)]


def test_a_rule_of_a_network_listener() -> None:
    """A listener of a network load balancer takes no rule."""
    rule = {"priority": 5, "conditions": [{"path_pattern": ["/a"]}], "action": {"forward": "web"}}
    web = [{"port": 8000, "rules": [rule], "default_action": {"forward": "web"}}]
    (made,) = _compiled(RuleResource, declaration(web=web))
    listener = next(one for one in _compiled(ListenerResource) if one.settings.port == 5432)
    with pytest.raises(ConfigError, match="rule 5 of shop is for a network load balancer's listener"):
        _put(made.model_copy(update={"listener": listener.id}))


def test_a_listener_of_the_other_kind() -> None:
    """A load balancer has listeners of its own kind only."""
    listener = next(one for one in _compiled(ListenerResource) if one.settings.port == 5432)
    front = next(one for one in _compiled(LoadBalancerResource) if one.name == "front")
    with pytest.raises(ConfigError, match="has protocol TCP, which its type application does not have"):
        _put(listener.model_copy(update={"load_balancer": front.id}))


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({"port": 5432, "default_action": {"forward": "web"}}, "port 5432 .* is taken by load balancer edge of shop"),
        (
            {
                "port": 5432,
                "rules": [{"priority": 1, "conditions": [{"path_pattern": ["/a"]}], "action": {"forward": "web"}}],
            },
            "guest of other adds rules to port 5432 of load balancer edge of shop, which is a network load balancer",
        ),
    ],
)
def test_the_port_of_a_network_load_balancer_is_taken(other: dict[str, Any], expected: str) -> None:
    """Neither a listener nor rules of another owner can have a port of a network load balancer."""
    guest = LoadBalancer.model_validate({"scheme": "internal", "listeners": [other]})
    theirs = Declaration.model_validate({"target_groups": {"web": {"port": 80}}, "load_balancers": {"guest": guest}})
    with pytest.raises(ConfigError, match=expected):
        Registry().declare("shop", declaration()).declare("other", theirs)


def test_forwarding_to_the_other_kind() -> None:
    """A declaration from Python is refused if a listener forwards to a target group of another protocol."""
    for listener, reason in (
        ({**LISTENERS[0], "default_action": {"forward": "web"}}, "protocol TCP cannot forward to target group web"),
        ({**LISTENERS[0], "default_action": {"forward": "safe"}}, "protocol TCP cannot forward to target group safe"),
    ):
        with pytest.raises(ConfigError, match=reason):
            Registry().declare("shop", declaration(listener))
    with pytest.raises(ConfigError, match="protocol HTTP cannot forward to target group db"):
        Registry().declare("shop", declaration(web=[{"port": 1, "default_action": {"forward": "db"}}]))


def test_a_protected_load_balancer(tmp_path: Path) -> None:
    """A network load balancer with deletion protection cannot be left out of a declaration."""
    edge = {"type": "network", "listeners": LISTENERS[:1], "attributes": {"deletion_protection.enabled": True}}
    protected = Declaration.model_validate({"target_groups": GROUPS, "load_balancers": {"edge": edge}})
    balancer = Balancer(tmp_path, FakePlane())
    balancer.apply("shop", protected)
    with pytest.raises(ConfigError, match="load balancer edge of shop is protected against deletion"):
        balancer.check_deletion_protection("shop")


def test_a_group_with_targets_keeps_its_kind() -> None:
    """A target group with targets does not become one of the other kind."""
    registry = Registry().declare("shop", declaration())
    registry = registry.register("shop", "web", [Target(id="a", address="10.0.0.1", port=80)])
    changed = declaration().model_copy(
        update={"target_groups": {**declaration().target_groups, "web": NetworkTargetGroup(protocol="TCP", port=80)}}
    )
    front = declaration().load_balancers["edge"].model_copy(update={"address": None})
    changed = changed.model_copy(update={"load_balancers": {"edge": front}})
    with pytest.raises(ConfigError, match="protocol of target group web cannot change from HTTP to TCP"):
        registry.declare("shop", changed)

"""Target groups of `target_type: alb` in the registry: their target follows from the declaration."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.data_plane import CheckFact, TargetFact
from pipeline.balancer.health import group_health
from pipeline.balancer.model import Declaration, NetworkTargetGroup, Target, TargetState
from pipeline.balancer.model.tls import Certificate
from pipeline.balancer.registry import Registry
from pipeline.balancer.registry_snapshot import dump, load
from pipeline.balancer.resources import CertificateResource, ListenerResource, LoadBalancerResource
from pipeline.base.errors import ConfigError
from pipeline.testing.fakes.data_plane import FakePlane


def declaration(inner: dict[str, Any] | None = None, **front: Any) -> Declaration:
    """Return an NLB `edge` before an ALB `inner`. `front`: more of the NLB's group."""
    alb = {"protocol": "TCP", "target_type": "alb", "load_balancer": "inner", "port": 8080, **front}
    listening = {"port": 8080, "default_action": {"forward": "web"}}
    outer = {"protocol": "TCP", "port": 80, "default_action": {"forward": "front"}}
    return Declaration.model_validate(
        {
            "target_groups": {"web": {"port": 80}, "front": alb},
            "load_balancers": {
                "inner": {"scheme": "internal", "listeners": [listening], **(inner or {})},
                "edge": {"type": "network", "scheme": "internal", "listeners": [outer]},
            },
        }
    )


REGISTRY = Registry().declare("shop", declaration())


def test_the_target_follows_from_the_declaration() -> None:
    """The group has the load balancer as its only target, which is kept on disk and gone with its group."""
    (known,) = REGISTRY.registrations("shop", "front")
    assert known.target == Target(id="inner", address="127.0.0.1", port=8080)
    assert known.admitted
    stored = load(dump(REGISTRY).encode())
    assert stored.registrations("shop", "front") == (known,)
    assert stored.target_groups == REGISTRY.target_groups
    assert not Registry().declare("shop", declaration()).withdraw("shop").targets


def test_a_group_of_the_api_loses_its_target_when_the_pipeline_goes_down() -> None:
    """The group stays. It would be refused otherwise, and the pipeline could not go down."""
    (front,) = (group for group in REGISTRY.target_groups.values() if group.name == "front")
    made = front.model_copy(update={"id": "00000000000000aa", "name": "api", "made_by": "api", "revision": 0})
    left = REGISTRY.put(made).withdraw("shop")
    assert [group.name for group in left.target_groups.values()] == ["api"]
    assert left.registrations("shop", "api") == ()


def test_the_target_stays_while_nothing_about_it_changes() -> None:
    """A change of other resources leaves the registration as it is. Another address replaces it."""
    (before,) = REGISTRY.registrations("shop", "front")
    same = REGISTRY.declare("shop", declaration(deregistration_delay="5s"))
    assert same.registrations("shop", "front") == (before,)
    moved = REGISTRY.declare("shop", declaration({"address": "127.0.0.5"}))
    (after,) = moved.registrations("shop", "front")
    assert after.target.address == "127.0.0.5"


def test_a_changed_check_applies_to_the_target() -> None:
    """The target always has the group's check, because no deployment registers it again."""
    changed = REGISTRY.declare("shop", declaration(health_check={"path": "/up"}))
    (known,) = changed.registrations("shop", "front")
    assert known.check.path == "/up"
    assert known.admitted


def test_other_targets_are_refused(tmp_path: Path) -> None:
    """A program cannot register a target beside the load balancer."""
    balancer = Balancer(tmp_path / "balancer", FakePlane())
    balancer.apply("shop", declaration())
    with pytest.raises(ConfigError) as refused:
        balancer.register("shop", "front", Target(id="a", address="127.0.0.1", port=1))
    assert str(refused.value) == "target group front of shop has a load balancer as its target, and no others"


@pytest.mark.parametrize(("check", "state"), [("pending", "initial"), ("passed", "healthy"), ("failed", "unhealthy")])
def test_it_is_initial_until_its_first_check(check: Any, state: TargetState) -> None:
    """It gets connections at once, and is not called healthy before a check has passed."""
    fact = TargetFact(admitted=True, up=check != "failed", check=CheckFact(check), in_flight=0, state_age=timedelta(0))
    (found,) = group_health(REGISTRY, "shop", "front", {"inner": fact})
    assert found.state == state


def _without(registry: Registry, kind: type, name: str) -> Registry:
    """Return the registry without a resource, as a program that uses single resources would make it."""
    found = next(r for r in registry.all() if isinstance(r, kind) and getattr(r, "name", name) == name)
    return registry.drop(found.id, *(r.id for r in registry.listeners.values() if found.id in r.requires()))


def _change_group(**fields: Any) -> Callable[[], Registry]:
    group = next(g for g in REGISTRY.target_groups.values() if g.name == "front")
    assert isinstance(group.settings, NetworkTargetGroup)
    return lambda: REGISTRY.put(group.model_copy(update={"settings": group.settings.model_copy(update=fields)}))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (
            lambda: _without(REGISTRY, LoadBalancerResource, "inner"),
            "target group front of shop: there is no load balancer inner\nknown: edge",
        ),
        (
            _change_group(port=81),
            "target group front of shop: load balancer inner has no listener on port 81\nits ports: 8080",
        ),
        (
            _change_group(load_balancer="edge", port=80),
            "target group front of shop: load balancer edge is not an application load balancer, so it cannot be a "
            "target\nname one of type: application",
        ),
    ],
)
def test_a_group_without_its_load_balancer_is_refused(change: Callable[[], Registry], error: str) -> None:
    """A change of single resources that takes the target away is refused, and so is a load balancer that loops."""
    with pytest.raises(ConfigError) as refused:
        change()
    assert str(refused.value) == error


def test_a_load_balancer_of_another_owner_is_no_target() -> None:
    """The name is that of a load balancer of the same owner."""
    group = next(g for g in REGISTRY.target_groups.values() if g.name == "front")
    foreign = group.model_copy(update={"id": "0" * 16, "owner": "third", "revision": 0})
    with pytest.raises(ConfigError, match="target group front of third: there is no load balancer inner"):
        REGISTRY.put(foreign)


def test_an_application_load_balancer_cannot_forward_to_it() -> None:
    """So no chain of load balancers comes back to itself."""
    looped = declaration({"listeners": [{"port": 8080, "default_action": {"forward": "front"}}]})
    with pytest.raises(ConfigError, match="a listener of protocol HTTP cannot forward to target group front"):
        Registry().declare("shop", looped)


def test_a_tls_listener_cannot_forward_to_it() -> None:
    """As in ELB, such a group belongs to TCP listeners."""
    listener = next(one for one in REGISTRY.listeners.values() if one.settings.port == 80)
    changed = listener.model_copy(update={"settings": listener.settings.model_copy(update={"protocol": "TLS"})})
    assert isinstance(changed, ListenerResource)
    with pytest.raises(ConfigError, match="a TLS listener cannot forward to target group front"):
        _with_certificate(REGISTRY, changed)


def _with_certificate(registry: Registry, listener: ListenerResource) -> Registry:
    shown = CertificateResource(
        id="1" * 16, owner="shop", listener=listener.id, certificate=Certificate(certificate="a.pem"), position=0
    )
    return registry.put(listener, shown)

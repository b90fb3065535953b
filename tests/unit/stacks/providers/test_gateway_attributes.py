"""Every attribute that AWS has for gateway load balancers, in pipeline.yaml, ELBv2's API and stacks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pydantic import ValidationError

from pipeline.aws.errors import AwsError
from pipeline.balancer.model import Declaration
from tests.support.stack_machine import SUBNETS, VPC, StackMachine

ELB = "AWS::ElasticLoadBalancingV2"
TOKEN = "lab-Thing-AAAAAAAAAAAA"
_RESET = "is not supported: the ends of a flow get no reset; leave it out, or write false"
_FAILOVERS = ("target_failover.on_deregistration", "target_failover.on_unhealthy")


class Attribute(NamedTuple):
    """An attribute. `default`: AWS's. `other`: another value. `refused`: the reason why this is not supported."""

    noun: str
    key: str
    default: Any
    other: Any
    refused: str = ""


ATTRIBUTES = (
    Attribute("LoadBalancer", "deletion_protection.enabled", False, True),
    Attribute("LoadBalancer", "load_balancing.cross_zone.enabled", False, True),
    Attribute("Listener", "tcp.idle_timeout.seconds", 350, 6000),
    Attribute("Listener", "send_tcp_reset.on_idle_timeout.enabled", False, True, _RESET),
    Attribute("TargetGroup", "deregistration_delay.timeout_seconds", 300, 0),
    Attribute("TargetGroup", "stickiness.enabled", False, True),
    Attribute("TargetGroup", "stickiness.type", "source_ip_dest_ip_proto", "source_ip_dest_ip"),
    Attribute("TargetGroup", _FAILOVERS[0], "no_rebalance", "rebalance"),
    Attribute("TargetGroup", _FAILOVERS[1], "no_rebalance", "rebalance"),
    Attribute("TargetGroup", "send_tcp_reset.on_deregistration.enabled", False, True, _RESET),
    Attribute("TargetGroup", "send_tcp_reset.on_unhealthy.enabled", False, True, _RESET),
)


def values(one: Attribute, value: Any) -> dict[str, Any]:
    """Return the attributes with a value of one. Both failovers must be equal."""
    return dict.fromkeys(_FAILOVERS, value) if one.key in _FAILOVERS else {one.key: value}


def declare(one: Attribute, value: Any) -> Declaration:
    """Return the declaration of pipeline.yaml."""
    given = values(one, value)
    listener = {"default_action": {"forward": "firewalls"}, "attributes": given if one.noun == "Listener" else {}}
    return Declaration.model_validate(
        {
            "target_groups": {
                "firewalls": {"protocol": "GENEVE", "attributes": given if one.noun == "TargetGroup" else {}}
            },
            "load_balancers": {
                "inspection": {
                    "type": "gateway",
                    "attributes": given if one.noun == "LoadBalancer" else {},
                    "listeners": [listener],
                }
            },
        }
    )


class World:
    """A gateway load balancer with appliances, made by a stack."""

    def __init__(self, machine: StackMachine) -> None:
        self.machine = machine
        group = {"VpcId": VPC, "Port": 6081, "Protocol": "GENEVE", "TargetType": "ip"}
        balancer = {"Type": "gateway", "Name": "inspection", "Subnets": SUBNETS}
        self.given: dict[str, dict[str, Any]] = {"TargetGroup": group, "LoadBalancer": balancer}
        self.arns = {noun: self._create(noun) for noun in ("TargetGroup", "LoadBalancer")}
        actions = [{"Type": "forward", "TargetGroupArn": self.arns["TargetGroup"]}]
        self.given["Listener"] = {"LoadBalancerArn": self.arns["LoadBalancer"], "DefaultActions": actions}
        self.arns["Listener"] = self._create("Listener")

    def _create(self, noun: str) -> str:
        token = TOKEN.replace("Thing", noun)
        return self.machine.create(f"{ELB}::{noun}", token, **self.given[noun]).physical_id

    def call(self, one: Attribute, value: Any) -> dict[str, str]:
        """Set an attribute by the API. Return all of the resource."""
        arn = {f"{one.noun}Arn": self.arns[one.noun]}
        return _shown(self.machine.elbv2(f"Modify{one.noun}Attributes", **arn, Attributes=_pairs(one, value)))

    def update(self, one: Attribute, value: Any) -> dict[str, str]:
        """Set an attribute by a stack. Return all of the resource."""
        before, arn = self.given[one.noun], self.arns[one.noun]
        after = {**before, f"{one.noun}Attributes": _pairs(one, value)}
        self.machine.update(f"{ELB}::{one.noun}", arn, before, after)
        self.given[one.noun] = after
        return _shown(self.machine.elbv2(f"Describe{one.noun}Attributes", **{f"{one.noun}Arn": arn}))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(StackMachine(tmp_path))


@pytest.mark.parametrize("one", ATTRIBUTES, ids=lambda one: one.key)
def test_the_default_of_aws_may_be_given(one: Attribute, world: World) -> None:
    """In all three ways. AWS's name is shown with it, also if nobody has set it."""
    declare(one, one.default)
    arn = {f"{one.noun}Arn": world.arns[one.noun]}
    assert _shown(world.machine.elbv2(f"Describe{one.noun}Attributes", **arn))[one.key] == _text(one.default)
    assert world.call(one, one.default)[one.key] == _text(one.default)
    assert world.update(one, one.default)[one.key] == _text(one.default)


@pytest.mark.parametrize("one", [each for each in ATTRIBUTES if not each.refused], ids=lambda one: one.key)
def test_another_value(one: Attribute, world: World) -> None:
    """It is accepted in all three ways."""
    declare(one, one.other)
    assert world.call(one, one.other)[one.key] == _text(one.other)
    assert world.call(one, one.default)[one.key] == _text(one.default)
    assert world.update(one, one.other)[one.key] == _text(one.other)
    # A protected one cannot be changed by what follows.
    assert world.call(one, one.default)[one.key] == _text(one.default)


@pytest.mark.parametrize("one", [each for each in ATTRIBUTES if each.refused], ids=lambda one: one.key)
def test_what_is_not_built(one: Attribute, world: World) -> None:
    """All three ways give the same reason, and nothing changes."""
    with pytest.raises(ValidationError, match=one.refused):
        declare(one, one.other)
    for way in (world.call, world.update):
        with pytest.raises(AwsError, match=f"^InvalidConfigurationRequest: {one.key}: .*{one.refused}"):
            way(one, one.other)
    assert world.call(one, one.default)[one.key] == _text(one.default)


@pytest.mark.parametrize("noun", ["LoadBalancer", "Listener", "TargetGroup"])
def test_no_other_attribute_is_shown(noun: str, world: World) -> None:
    """The table above is complete."""
    shown = _shown(world.machine.elbv2(f"Describe{noun}Attributes", **{f"{noun}Arn": world.arns[noun]}))
    assert shown.keys() == {one.key for one in ATTRIBUTES if one.noun == noun}


def _pairs(one: Attribute, value: Any) -> list[dict[str, str]]:
    return [{"Key": key, "Value": _text(each)} for key, each in values(one, value).items()]


def _shown(found: Mapping[str, Any]) -> dict[str, str]:
    return {each["Key"]: each["Value"] for each in found["Attributes"]}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

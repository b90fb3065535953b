"""ELBv2's types over a data plane in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.aws.errors import AwsError
from pipeline.base.errors import ConfigError
from pipeline.stacks.phase_work import parse
from pipeline.stacks.provider import Pending
from tests.support.stack_machine import CONTEXT, SUBNETS, VPC, StackMachine, forward

ELB = "AWS::ElasticLoadBalancingV2"
TOKEN, OTHER = "lab-Thing-AAAAAAAAAAAA", "lab-Thing-BBBBBBBBBBBB"
GROUP = {"VpcId": VPC, "Port": 8080, "Protocol": "HTTP", "TargetType": "ip"}
TARGET = {"Id": "127.0.0.1", "Port": 9001}


@pytest.fixture
def machine(tmp_path: Path) -> StackMachine:
    """A machine with a data plane in memory."""
    return StackMachine(tmp_path)


def listener(machine: StackMachine, actions: list[dict[str, Any]], **more: Any) -> tuple[str, dict[str, Any]]:
    """Create a listener. Return its ARN and its properties."""
    given = {"LoadBalancerArn": machine.load_balancer(), "Port": 8081, "Protocol": "HTTP", "DefaultActions": actions}
    given |= more
    return machine.create(f"{ELB}::Listener", TOKEN, **given).physical_id, given


def test_attributes_of_a_load_balancer(machine: StackMachine) -> None:
    """They have AWS's form. The event says where its nodes are."""
    state = machine.create(f"{ELB}::LoadBalancer", TOKEN, Subnets=SUBNETS, Name="edge")
    assert state.physical_id.endswith(state.attributes["LoadBalancerFullName"])
    assert state.attributes["LoadBalancerFullName"].startswith("app/edge/")
    assert state.attributes["DNSName"].startswith("edge.shop.")
    assert state.reason == "its nodes have the addresses 127.0.0.1, 127.0.0.2"
    (made,) = machine.balancer.registry().load_balancers.values()
    assert made.made_by == "stack/lab"


@pytest.mark.parametrize(
    ("token", "name"),
    [
        ("internal-Edge-AAAAAAAAAAAA", "Edge-AAAAAAAAAAAA"),
        ("a-stack-with-a-long--name-Edge-AAAAAAAAAAAA", "a-stack-with-a-long-AAAAAAAAAAAA"),
    ],
)
def test_a_name_that_the_stack_makes(machine: StackMachine, token: str, name: str) -> None:
    """It fits ELB's rules for names."""
    state = machine.create(f"{ELB}::LoadBalancer", token, Subnets=SUBNETS)
    assert state.attributes["LoadBalancerName"] == name


def test_what_somebody_else_has_made_is_not_taken_over(machine: StackMachine) -> None:
    """The API would return one with the same settings. A stack must not delete it later."""
    given = {"Name": "edge", "Subnets": SUBNETS}
    machine.elbv2("CreateLoadBalancer", **given)
    with pytest.raises(ConfigError, match=r"loadbalancer/app/edge/\w+ already exists$"):
        machine.create(f"{ELB}::LoadBalancer", TOKEN, **given)
    assert machine.provider(f"{ELB}::LoadBalancer").find(TOKEN) is None


def test_a_target_group_of_the_same_name(machine: StackMachine) -> None:
    """One that needs replacing and has a fixed name fails, as in AWS."""
    machine.target_group(Name="web")
    with pytest.raises(AwsError, match="A target group with the same name 'web' exists, but with different settings"):
        machine.target_group(OTHER, Name="web", Port=8081)


def test_settings_that_a_template_drops_are_reset(machine: StackMachine) -> None:
    """Attributes, health check, targets and tags that are not in the template any more have their defaults."""
    first = {
        **GROUP,
        "HealthCheckPath": "/health",
        "HealthyThresholdCount": 3,
        "Matcher": {"HttpCode": "204"},
        "Targets": [TARGET],
        "TargetGroupAttributes": [
            {"Key": "deregistration_delay.timeout_seconds", "Value": "5"},
            {"Key": "stickiness.enabled", "Value": "true"},
        ],
        "Tags": [{"Key": "team", "Value": "web"}],
    }
    provider = machine.provider(f"{ELB}::TargetGroup")
    arn = machine.create(f"{ELB}::TargetGroup", TOKEN, **first).physical_id
    before = provider.read(arn)
    machine.update(f"{ELB}::TargetGroup", arn, first, GROUP)
    after = provider.read(arn)
    assert before is not None
    assert after is not None
    assert before.properties is not None
    assert after.properties is not None
    assert [before.properties[key] for key in ("HealthCheckPath", "HealthyThresholdCount")] == ["/health", 3]
    assert [after.properties[key] for key in ("HealthCheckPath", "HealthyThresholdCount")] == ["/", 5]
    assert after.properties["Matcher"] == {"HttpCode": "200"}
    assert after.properties["Tags"] == []
    shown = {each["Key"]: each["Value"] for each in after.properties["TargetGroupAttributes"]}
    assert (shown["deregistration_delay.timeout_seconds"], shown["stickiness.enabled"]) == ("300", "false")
    assert after.properties["Targets"] == []


def test_another_load_balancer_in_place(machine: StackMachine) -> None:
    """Subnets, security groups and attributes are changed in place, and come back."""
    group = machine.create("AWS::EC2::SecurityGroup", TOKEN, GroupDescription="web").physical_id
    first = {"Subnets": SUBNETS, "LoadBalancerAttributes": [{"Key": "idle_timeout.timeout_seconds", "Value": "30"}]}
    second = {"SubnetMappings": [{"SubnetId": SUBNETS[1]}], "SecurityGroups": [group], "IpAddressType": "dualstack"}
    provider = machine.provider(f"{ELB}::LoadBalancer")
    arn = machine.create(f"{ELB}::LoadBalancer", TOKEN, **first).physical_id
    machine.update(f"{ELB}::LoadBalancer", arn, first, second)
    shown = provider.read(arn)
    assert shown is not None
    assert shown.properties is not None
    assert shown.properties["Subnets"] == [SUBNETS[1]]
    assert (shown.properties["SecurityGroups"], shown.properties["IpAddressType"]) == ([group], "dualstack")
    assert {"Key": "idle_timeout.timeout_seconds", "Value": "60"} in shown.properties["LoadBalancerAttributes"]
    machine.update(f"{ELB}::LoadBalancer", arn, second, first)
    restored = provider.read(arn)
    assert restored is not None
    assert restored.properties is not None
    assert restored.properties["Subnets"] == SUBNETS
    assert restored.properties["SecurityGroups"] == []


def test_a_listener_with_another_protocol(machine: StackMachine) -> None:
    """A listener becomes an HTTPS listener, and an HTTP listener again, on another port."""
    certificate = machine.create("AWS::CertificateManager::Certificate", TOKEN, DomainName="shop.localhost").physical_id
    group = machine.target_group()
    arn, first = listener(machine, forward(group))
    secure = {**first, "Port": 8443, "Protocol": "HTTPS", "Certificates": [{"CertificateArn": certificate}]}
    provider = machine.provider(f"{ELB}::Listener")
    for before, after in ((first, secure), (secure, first)):
        machine.update(f"{ELB}::Listener", arn, before, after)
        shown = provider.read(arn)
        assert shown is not None
        assert shown.properties is not None
        assert (shown.properties["Port"], shown.properties["Protocol"]) == (after["Port"], after["Protocol"])
        assert shown.properties.get("Certificates") == after.get("Certificates")


@pytest.mark.parametrize("certificate", [{}, {"CertificateArn": ""}])
def test_an_empty_certificate_is_none(machine: StackMachine, certificate: dict[str, str]) -> None:
    """Templates in which TLS is an option leave one in listeners without TLS."""
    arn, _ = listener(machine, forward(machine.target_group()), Certificates=[certificate])
    shown = machine.provider(f"{ELB}::Listener").read(arn)
    assert shown is not None
    assert shown.properties is not None
    assert "Certificates" not in shown.properties


def test_actions_are_shown_as_they_were_given(machine: StackMachine) -> None:
    """So a listener that nobody has changed has not drifted."""
    redirect = {"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301", "Port": "443", "Protocol": "HTTPS"}}
    for actions in ([redirect], forward(machine.target_group(), machine.target_group(OTHER))):
        arn, _ = listener(machine, actions) if actions == [redirect] else listener(machine, actions, Port=8082)
        shown = machine.provider(f"{ELB}::Listener").read(arn)
        assert shown is not None
        assert shown.properties is not None
        assert shown.properties["DefaultActions"] == actions
        machine.provider(f"{ELB}::Listener").delete(arn)


@pytest.mark.parametrize("healthy", [True, False])
def test_a_new_target_group_takes_over(machine: StackMachine, healthy: bool) -> None:
    """Its targets are checked first, in a group that gets nothing. Until they are healthy, the old group serves."""
    old, new = machine.target_group(Targets=[TARGET]), machine.target_group(OTHER, Targets=[{**TARGET, "Port": 9002}])
    arn, first = listener(machine, forward(old))
    pass_checks(machine, old)
    after = {**first, "DefaultActions": forward(new)}
    assert isinstance(machine.update(f"{ELB}::Listener", arn, first, after), Pending)
    assert weights(machine, arn) == {old: 1, new: 0}
    if healthy:
        pass_checks(machine, new)
        assert not isinstance(machine.update(f"{ELB}::Listener", arn, first, after), Pending)
        assert weights(machine, arn) == {new: 1}
    else:
        found = machine.update(f"{ELB}::Listener", arn, first, after)
        assert isinstance(found, Pending)
        assert found.reason == "waiting until the targets of lab-Thing-BBBBBBBBBBBB are healthy"
        # A rollback has nothing to wait for.
        assert not isinstance(machine.update(f"{ELB}::Listener", arn, after, first), Pending)
        assert weights(machine, arn) == {old: 1}


def test_a_new_target_group_without_targets_is_waited_for_while_others_change(machine: StackMachine) -> None:
    """A service may be moving there. If nothing else of the stack is in progress, the group takes over without any."""
    old, new = machine.target_group(Targets=[TARGET]), machine.target_group(OTHER)
    arn, first = listener(machine, forward(old))
    pass_checks(machine, old)
    after = {**first, "DefaultActions": forward(new)}
    for _ in range(2):
        found = machine.update(f"{ELB}::Listener", arn, first, after)
        assert isinstance(found, Pending)
        assert found.otherwise is not None
        assert weights(machine, arn) == {old: 1, new: 0}
    assert found.otherwise().physical_id == arn
    assert weights(machine, arn) == {new: 1}


def test_nothing_is_waited_for_without_healthy_targets(machine: StackMachine) -> None:
    """If the present group serves nobody, the other one takes over at once."""
    old, new = machine.target_group(), machine.target_group(OTHER, Targets=[TARGET])
    arn, first = listener(machine, forward(old))
    machine.update(f"{ELB}::Listener", arn, first, {**first, "DefaultActions": forward(new)})
    assert weights(machine, arn) == {new: 1}


def pass_checks(machine: StackMachine, group: str) -> None:
    """Let the targets of a group pass their checks, and wait until they are healthy."""
    name = group.split("/")[-2]
    (owned,) = [each for each in machine.balancer.registry().target_groups.values() if each.name == name]
    for registration in machine.balancer.registry().targets[owned.id]:
        machine.plane.answer_checks(registration.target.id)
    # It is checked, then admitted, then seen as healthy.
    for _ in range(3):
        machine.balancer.reconcile()
        machine.plane.run_checks()


def weights(machine: StackMachine, arn: str) -> dict[str, int]:
    """Return the weights of the target groups of a listener."""
    actions = machine.elbv2("DescribeListeners", ListenerArns=[arn])["Listeners"][0]["DefaultActions"]
    config = actions[0].get("ForwardConfig")
    if config is None:
        return {actions[0]["TargetGroupArn"]: 1}
    return {each["TargetGroupArn"]: each["Weight"] for each in config["TargetGroups"]}


@pytest.mark.parametrize(
    ("kind", "given", "wanted"),
    [
        ("LoadBalancer", {"Type": "classic"}, "#/Type: Input should be 'application', 'network' or 'gateway'"),
        ("TargetGroup", {"Port": "high"}, "#/Port: Input should be a valid integer"),
        ("Listener", {"Port": 80, "Protocol": "HTTP"}, r"#: required key \[LoadBalancerArn\] not found"),
        (
            "ListenerRule",
            {"ListenerArn": "a", "Priority": 1, "Conditions": [{"Field": "path-pattern", "Value": "/"}], "Actions": []},
            r"#/Conditions/0: extraneous key \[Value\] is not permitted",
        ),
    ],
)
def test_mistakes(machine: StackMachine, kind: str, given: dict[str, Any], wanted: str) -> None:
    """A mistake names the property."""
    with pytest.raises(ConfigError, match=wanted):
        parse(machine.provider(f"{ELB}::{kind}"), given)


@pytest.mark.parametrize(
    ("kind", "given", "wanted"),
    [
        ("LoadBalancer", {"Subnets": SUBNETS, "Type": "gateway", "Scheme": "internal"}, "A scheme cannot be specified"),
        ("LoadBalancer", {"Subnets": SUBNETS, "MinimumLoadBalancerCapacity": {"CapacityUnits": 100}}, "reserved"),
        ("TargetGroup", {**GROUP, "Protocol": "GENEVE"}, "Port '8080' must be 6081"),
        ("TargetGroup", {**GROUP, "Protocol": "QUIC"}, "'QUIC' is not supported"),
    ],
)
def test_what_is_refused(machine: StackMachine, kind: str, given: dict[str, Any], wanted: str) -> None:
    """What has no meaning on one machine is refused with the reason of the API."""
    with pytest.raises(AwsError, match=wanted):
        machine.create(f"{ELB}::{kind}", TOKEN, **given)


def test_tags_of_the_stack(machine: StackMachine) -> None:
    """A resource has the tags of its stack, and its own, which count more."""
    context = replace(CONTEXT, tags={"team": "web", "cost": "1"})
    given = {**GROUP, "Tags": [{"Key": "cost", "Value": "2"}]}
    state = machine.create(f"{ELB}::TargetGroup", TOKEN, context, **given)
    assert state.properties is not None
    assert state.properties["Tags"] == [{"Key": "team", "Value": "web"}, {"Key": "cost", "Value": "2"}]


def test_a_gateway_load_balancer(machine: StackMachine) -> None:
    """A gateway, its appliances and its listener, which has neither a port nor a protocol, change in place."""
    gateway = machine.create(f"{ELB}::LoadBalancer", TOKEN, Type="gateway", Name="inspection", Subnets=SUBNETS)
    assert gateway.attributes["LoadBalancerFullName"].startswith("gwy/inspection/")
    assert "DNSName" not in gateway.attributes
    assert gateway.reason == "it is in the zones local-a, local-b"
    appliances = {"VpcId": VPC, "Port": 6081, "Protocol": "GENEVE", "TargetType": "ip", "Targets": [{"Id": "10.0.0.1"}]}
    both = ("target_failover.on_deregistration", "target_failover.on_unhealthy")
    rebalancing = {**appliances, "TargetGroupAttributes": [{"Key": key, "Value": "rebalance"} for key in both]}
    group = machine.create(f"{ELB}::TargetGroup", OTHER, **rebalancing).physical_id
    given = {"LoadBalancerArn": gateway.physical_id, "DefaultActions": forward(group)}
    arn = machine.create(f"{ELB}::Listener", TOKEN.replace("Thing", "Listener"), **given).physical_id
    slower = {**given, "ListenerAttributes": [{"Key": "tcp.idle_timeout.seconds", "Value": "6000"}]}
    machine.update(f"{ELB}::Listener", arn, given, slower)
    shown = machine.provider(f"{ELB}::Listener").read(arn)
    assert shown is not None
    idle = [{"Key": "send_tcp_reset.on_idle_timeout.enabled", "Value": "false"}, *slower["ListenerAttributes"]]
    assert shown.properties == {**slower, "DefaultActions": forward(group), "ListenerAttributes": idle}
    machine.update(f"{ELB}::TargetGroup", group, rebalancing, appliances)
    found = machine.provider(f"{ELB}::TargetGroup").read(group)
    assert found is not None
    assert found.properties is not None
    assert {"Key": both[0], "Value": "no_rebalance"} in found.properties["TargetGroupAttributes"]
    read = machine.provider(f"{ELB}::LoadBalancer").read(gateway.physical_id)
    assert read is not None
    assert read.properties is not None
    assert "Scheme" not in read.properties
    assert read.properties["Subnets"] == SUBNETS

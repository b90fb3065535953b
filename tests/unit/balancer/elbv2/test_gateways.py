"""Gateway load balancers and their appliances by ELBv2's API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.aws.errors import AwsError
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.data_plane import CheckFact
from pipeline.balancer.effective import EffectiveGatewayListener, effective_listeners
from pipeline.balancer.endpoint_resources import EndpointServiceResource
from pipeline.balancer.model.gateway.endpoint_service import EndpointService
from pipeline.testing.fakes.data_plane import FakePlane
from tests.support.elbv2 import Elbv2, attributes, forward

GENEVE = {"Protocol": "GENEVE", "Port": 6081}
_REDIRECT = {"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301", "Port": "443"}}


@pytest.fixture
def plane() -> FakePlane:
    return FakePlane()


@pytest.fixture
def elbv2(tmp_path: Path, plane: FakePlane) -> Elbv2:
    return Elbv2(Balancer(tmp_path, plane))


def gateway(elbv2: Elbv2, name: str = "inspection", **given: Any) -> str:
    return elbv2.load_balancer(name, Type="gateway", **given)


def appliances(elbv2: Elbv2, name: str = "firewalls", **given: Any) -> str:
    return elbv2.target_group(name, **{**GENEVE, **given})


def listener(elbv2: Elbv2, balancer: str, group: str, **given: Any) -> str:
    parameters = {"LoadBalancerArn": balancer, "DefaultActions": [forward(group)], **given}
    return str(elbv2("CreateListener", **parameters)["Listeners"][0]["ListenerArn"])


def test_a_gateway_has_neither_a_name_nor_a_scheme(elbv2: Elbv2) -> None:
    """It is in the zones of its subnets, without addresses, and its ARN says its type."""
    arn = gateway(elbv2)
    (shown,) = elbv2("DescribeLoadBalancers", LoadBalancerArns=[arn])["LoadBalancers"]
    assert ":loadbalancer/gwy/inspection/" in arn
    assert not shown.keys() & {"DNSName", "Scheme", "CanonicalHostedZoneId", "SecurityGroups"}
    assert (shown["Type"], shown["VpcId"], shown["State"]) == ("gateway", "vpc-1", {"Code": "active"})
    assert shown["AvailabilityZones"] == [
        {"ZoneName": "us-east-1a", "SubnetId": "subnet-a"},
        {"ZoneName": "us-east-1b", "SubnetId": "subnet-b"},
    ]
    (resource,) = elbv2.balancer.registry().load_balancers.values()
    assert resource.settings.zones == ("local-a", "local-b")
    assert gateway(elbv2) == arn
    with pytest.raises(AwsError, match=r"^DuplicateLoadBalancerName"):
        gateway(elbv2, Subnets=["subnet-a"])


def test_a_gateway_takes_no_address_of_a_zone(elbv2: Elbv2) -> None:
    """Another load balancer gets the node's address although a gateway is in the zone."""
    elbv2.network.addresses = ("127.64.0.0/30", "127.64.1.0/30", "127.64.2.0/30")
    gateway(elbv2)
    for name in ("one", "two"):
        elbv2.load_balancer(name, Type="network")
    with pytest.raises(AwsError, match=r"^InvalidSubnet"):
        elbv2.load_balancer("three", Type="network")


def test_the_zones_of_a_gateway_change(elbv2: Elbv2) -> None:
    """SetSubnets names other zones."""
    arn = gateway(elbv2)
    changed = elbv2("SetSubnets", LoadBalancerArn=arn, Subnets=["subnet-b", "subnet-c"])
    assert [zone["ZoneName"] for zone in changed["AvailabilityZones"]] == ["us-east-1b", "us-east-1c"]
    (resource,) = elbv2.balancer.registry().load_balancers.values()
    assert resource.settings.zones == ("local-b", "local-c")


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"Scheme": "internal"}, "ValidationError: A scheme cannot be specified for gateway load balancers"),
        ({"SecurityGroups": ["sg-1"]}, "ValidationError: Security groups cannot be specified for gateway load"),
        (
            {"Subnets": [], "SubnetMappings": [{"SubnetId": "subnet-a", "AllocationId": "eipalloc-1"}]},
            "ValidationError: Elastic IP addresses cannot be specified for gateway load balancers",
        ),
        ({"Subnets": ["subnet-z"]}, "SubnetNotFound"),
    ],
)
def test_a_gateway_that_is_not_possible(elbv2: Elbv2, given: dict[str, Any], error: str) -> None:
    """Each mistake has AWS's code, and nothing is created."""
    with pytest.raises(AwsError, match=rf"^{error}"):
        gateway(elbv2, **given)
    assert elbv2.balancer.registry().is_empty


def test_security_groups_of_a_gateway_are_refused(elbv2: Elbv2) -> None:
    """It has none."""
    with pytest.raises(AwsError, match=r"^InvalidConfigurationRequest: Security groups are not supported"):
        elbv2("SetSecurityGroups", LoadBalancerArn=gateway(elbv2), SecurityGroups=["sg-1"])


def test_attributes_of_a_gateway(elbv2: Elbv2) -> None:
    """It has two, with AWS's defaults. Those of others are not recognized."""
    arn = gateway(elbv2)
    assert attributes(elbv2("DescribeLoadBalancerAttributes", LoadBalancerArn=arn)) == {
        "deletion_protection.enabled": "false",
        "load_balancing.cross_zone.enabled": "false",
    }
    given = [{"Key": "load_balancing.cross_zone.enabled", "Value": "true"}]
    changed = elbv2("ModifyLoadBalancerAttributes", LoadBalancerArn=arn, Attributes=given)
    assert attributes(changed)["load_balancing.cross_zone.enabled"] == "true"
    given = [{"Key": "zonal_shift.config.enabled", "Value": "true"}]
    with pytest.raises(AwsError, match=r"'zonal_shift\.config\.enabled' is not recognized"):
        elbv2("ModifyLoadBalancerAttributes", LoadBalancerArn=arn, Attributes=given)


def test_a_protected_gateway_is_not_deleted(elbv2: Elbv2) -> None:
    """As any other load balancer."""
    arn = gateway(elbv2)
    given = [{"Key": "deletion_protection.enabled", "Value": "true"}]
    elbv2("ModifyLoadBalancerAttributes", LoadBalancerArn=arn, Attributes=given)
    with pytest.raises(AwsError, match=r"^OperationNotPermitted"):
        elbv2("DeleteLoadBalancer", LoadBalancerArn=arn)


def test_a_gateway_of_an_endpoint_service_is_not_deleted(elbv2: Elbv2) -> None:
    """Its endpoints would lead nowhere."""
    arn = gateway(elbv2)
    (balancer,) = elbv2.balancer.registry().load_balancers.values()
    service = EndpointServiceResource(
        id="0" * 16,
        owner="shop",
        made_by="api",
        name="inspection",
        settings=EndpointService(load_balancers=(balancer.id,)),
    )
    elbv2.balancer.change("shop", lambda known: known.put(service))
    with pytest.raises(AwsError, match=r"^ResourceInUse: .*it is currently associated with another service"):
        elbv2("DeleteLoadBalancer", LoadBalancerArn=arn)
    elbv2.balancer.change("shop", lambda known: known.drop(service.id))
    elbv2("DeleteLoadBalancer", LoadBalancerArn=arn)
    assert elbv2.balancer.registry().is_empty


def test_limits_of_gateways(elbv2: Elbv2) -> None:
    """They have AWS's names."""
    found = {limit["Name"]: limit["Max"] for limit in elbv2("DescribeAccountLimits")["Limits"]}
    assert (found["gateway-load-balancers"], found["geneve-target-groups"]) == ("1000", "3000")


def test_the_listener_of_a_gateway(elbv2: Elbv2) -> None:
    """It has neither a port nor a protocol. The same call returns it again, and another one is one too many."""
    balancer, group = gateway(elbv2), appliances(elbv2)
    arn = listener(elbv2, balancer, group)
    assert arn.startswith(balancer.replace(":loadbalancer/", ":listener/") + "/")
    (shown,) = elbv2("DescribeListeners", ListenerArns=[arn])["Listeners"]
    assert shown == {"ListenerArn": arn, "LoadBalancerArn": balancer, "DefaultActions": [forward(group)]}
    assert listener(elbv2, balancer, group) == arn
    with pytest.raises(AwsError, match=r"^TooManyListeners: The maximum number of listeners of a gateway load"):
        listener(elbv2, balancer, appliances(elbv2, "others"))
    (effective,) = effective_listeners(elbv2.balancer.registry())
    assert isinstance(effective, EffectiveGatewayListener)
    assert effective.group == "firewalls"


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"Port": 80}, "ValidationError: A port cannot be specified for gateway listeners"),
        ({"Protocol": "TCP"}, "ValidationError: A protocol cannot be specified for gateway listeners"),
        ({"DefaultActions": [_REDIRECT]}, "ValidationError: default_action.redirect: needs a load balancer"),
        ({"DefaultActions": []}, "ValidationError: At least one action must be specified"),
    ],
)
def test_a_listener_that_is_not_possible(elbv2: Elbv2, given: dict[str, Any], error: str) -> None:
    """Each mistake has AWS's code and words."""
    balancer, group = gateway(elbv2), appliances(elbv2)
    with pytest.raises(AwsError, match=rf"^{error}"):
        listener(elbv2, balancer, group, **given)
    assert not effective_listeners(elbv2.balancer.registry())


def test_a_gateway_forwards_to_appliances_only(elbv2: Elbv2) -> None:
    """And no other load balancer does."""
    balancer, web = gateway(elbv2), elbv2.target_group()
    with pytest.raises(AwsError, match=r"^InvalidConfigurationRequest: .*a gateway load balancer cannot forward to"):
        listener(elbv2, balancer, web)
    front, group = elbv2.load_balancer("front"), appliances(elbv2)
    with pytest.raises(AwsError, match=r"^InvalidConfigurationRequest: .*cannot forward to target group firewalls"):
        elbv2.listener(front, group)


def test_a_listener_is_changed(elbv2: Elbv2) -> None:
    """It gets another group, and keeps its attributes. A port is refused."""
    arn, other = listener(elbv2, gateway(elbv2), appliances(elbv2)), appliances(elbv2, "others")
    given = [{"Key": "tcp.idle_timeout.seconds", "Value": "60"}]
    elbv2("ModifyListenerAttributes", ListenerArn=arn, Attributes=given)
    (shown,) = elbv2("ModifyListener", ListenerArn=arn, DefaultActions=[forward(other)])["Listeners"]
    assert shown["DefaultActions"] == [forward(other)]
    assert "Port" not in shown
    shown = attributes(elbv2("DescribeListenerAttributes", ListenerArn=arn))
    assert shown == {"send_tcp_reset.on_idle_timeout.enabled": "false", "tcp.idle_timeout.seconds": "60"}
    with pytest.raises(AwsError, match=r"^ValidationError: A port cannot be specified for gateway listeners"):
        elbv2("ModifyListener", ListenerArn=arn, Port=80)
    wrong = [{"Key": "tcp.idle_timeout.seconds", "Value": "59"}]
    with pytest.raises(AwsError, match=r"^InvalidConfigurationRequest"):
        elbv2("ModifyListenerAttributes", ListenerArn=arn, Attributes=wrong)


def test_a_listener_has_no_rules(elbv2: Elbv2) -> None:
    """Its default rule is the only one."""
    arn, group = listener(elbv2, gateway(elbv2), appliances(elbv2)), appliances(elbv2, "others")
    (rule,) = elbv2("DescribeRules", ListenerArn=arn)["Rules"]
    assert rule["IsDefault"]
    with pytest.raises(AwsError, match=r"^UnsupportedProtocol"):
        elbv2.rule(arn, group, 1)


def test_appliances_have_the_defaults_of_aws(elbv2: Elbv2) -> None:
    """A check of port 80 by TCP each 10 s, which is not the port of the packets."""
    arn = appliances(elbv2)
    (shown,) = elbv2("DescribeTargetGroups", TargetGroupArns=[arn])["TargetGroups"]
    wanted = {
        "Protocol": "GENEVE",
        "Port": 6081,
        "TargetType": "ip",
        "HealthCheckProtocol": "TCP",
        "HealthCheckPort": "80",
        "HealthCheckIntervalSeconds": 10,
        "HealthCheckTimeoutSeconds": 5,
        "HealthyThresholdCount": 5,
        "UnhealthyThresholdCount": 2,
    }
    assert {name: shown[name] for name in wanted} == wanted
    assert "ProtocolVersion" not in shown
    assert attributes(elbv2("DescribeTargetGroupAttributes", TargetGroupArn=arn)) == {
        "deregistration_delay.timeout_seconds": "300",
        "send_tcp_reset.on_deregistration.enabled": "false",
        "send_tcp_reset.on_unhealthy.enabled": "false",
        "stickiness.enabled": "false",
        "stickiness.type": "source_ip_dest_ip_proto",
        "target_failover.on_deregistration": "no_rebalance",
        "target_failover.on_unhealthy": "no_rebalance",
    }


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"Port": 80}, "ValidationError: Port '80' must be 6081 for target groups with the GENEVE protocol"),
        ({"TargetType": "alb"}, "InvalidConfigurationRequest: Target type 'alb' is not supported for target groups"),
        ({"HealthCheckPort": "traffic-port"}, "ValidationError: health_check.port: must be a number"),
        ({"HealthCheckProtocol": "GENEVE"}, "ValidationError: Health check protocol 'GENEVE' must be one of"),
        ({"ProtocolVersion": "HTTP2"}, "ValidationError: A protocol version needs a target group with the HTTP"),
        ({"Matcher": {"HttpCode": "199"}, "HealthCheckProtocol": "HTTP"}, "ValidationError: .*codes from 200 to 599"),
    ],
)
def test_appliances_that_are_not_possible(elbv2: Elbv2, given: dict[str, Any], error: str) -> None:
    """Each mistake has AWS's code, and nothing is created."""
    with pytest.raises(AwsError, match=rf"^{error}"):
        appliances(elbv2, **given)
    assert elbv2.balancer.registry().is_empty


def test_the_check_of_appliances_changes(elbv2: Elbv2) -> None:
    """It keeps what the call does not name."""
    arn = appliances(elbv2)
    given = {"HealthCheckProtocol": "HTTP", "HealthCheckPath": "/up", "HealthCheckPort": "8080"}
    (shown,) = elbv2("ModifyTargetGroup", TargetGroupArn=arn, **given)["TargetGroups"]
    assert given.items() <= shown.items()
    assert (shown["HealthCheckIntervalSeconds"], shown["Matcher"]) == (10, {"HttpCode": "200-399"})


def test_both_failovers_change_together(elbv2: Elbv2) -> None:
    """AWS requires equal values."""
    arn = appliances(elbv2)
    keys = ("target_failover.on_deregistration", "target_failover.on_unhealthy")
    both = [{"Key": key, "Value": "rebalance"} for key in keys]
    changed = elbv2("ModifyTargetGroupAttributes", TargetGroupArn=arn, Attributes=both)
    assert {attributes(changed)[key] for key in keys} == {"rebalance"}
    one = [{"Key": keys[0], "Value": "no_rebalance"}]
    with pytest.raises(AwsError, match=r"^InvalidConfigurationRequest: .*must be the same"):
        elbv2("ModifyTargetGroupAttributes", TargetGroupArn=arn, Attributes=one)


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("stickiness.type", "source_ip", "ValidationError: 'source_ip' must be one of"),
        ("stickiness.app_cookie.cookie_name", "a", "ValidationError: .*is not recognized"),
        ("target_failover.on_unhealthy", "rehash", "InvalidConfigurationRequest"),
        ("load_balancing.cross_zone.enabled", "true", "ValidationError: .*is not recognized"),
        ("deregistration_delay.timeout_seconds", "3601", "ValidationError: .*'0-3600'"),
    ],
)
def test_an_attribute_that_is_not_possible(elbv2: Elbv2, key: str, value: str, error: str) -> None:
    """Each mistake has AWS's code."""
    arn = appliances(elbv2)
    with pytest.raises(AwsError, match=rf"^{error}"):
        elbv2("ModifyTargetGroupAttributes", TargetGroupArn=arn, Attributes=[{"Key": key, "Value": value}])


def test_an_instance_is_reached_at_its_own_address(elbv2: Elbv2) -> None:
    """Also for target type `instance`, which is shown as it was given."""
    elbv2.network.instances = {"fw-1": "172.17.0.2"}
    group = appliances(elbv2, TargetType="instance")
    elbv2("RegisterTargets", TargetGroupArn=group, Targets=[{"Id": "fw-1"}])
    ((known,),) = elbv2.balancer.registry().targets.values()
    assert (known.target.address, known.target.port) == ("172.17.0.2", 6081)
    (shown,) = elbv2("DescribeTargetHealth", TargetGroupArn=group)["TargetHealthDescriptions"]
    assert shown["Target"] == {"Id": "fw-1", "Port": 6081}
    assert shown["HealthCheckPort"] == "80"


@pytest.mark.parametrize("fact", [CheckFact("timeout"), CheckFact("mismatch", code="503")])
def test_an_appliance_fails_for_one_reason(elbv2: Elbv2, plane: FakePlane, fact: CheckFact) -> None:
    """ELB reports no codes and timeouts of it."""
    group = appliances(elbv2)
    listener(elbv2, gateway(elbv2), group)
    elbv2("RegisterTargets", TargetGroupArn=group, Targets=[{"Id": "10.0.0.1"}])
    plane.answer_checks("10.0.0.1-6081", CheckFact("passed", passes=1))
    plane.run_checks()
    assert elbv2.states(group) == {"10.0.0.1": "healthy"}
    plane.answer_checks("10.0.0.1-6081", fact)
    plane.run_checks()
    (found,) = elbv2("DescribeTargetHealth", TargetGroupArn=group)["TargetHealthDescriptions"]
    assert found["TargetHealth"] == {
        "State": "unhealthy",
        "Reason": "Target.FailedHealthChecks",
        "Description": "Health checks failed",
    }


def test_an_appliance_that_cannot_be_reached(elbv2: Elbv2, plane: FakePlane) -> None:
    """It is unused, with ELB's code for an address that cannot be a target's."""
    group = appliances(elbv2)
    listener(elbv2, gateway(elbv2), group)
    elbv2("RegisterTargets", TargetGroupArn=group, Targets=[{"Id": "10.0.0.1"}])
    plane.answer_checks("10.0.0.1-6081", CheckFact("passed", passes=1))
    plane.run_checks()
    plane.target_faults["10.0.0.1-6081"] = "this machine has no route to 10.0.0.1"
    (found,) = elbv2("DescribeTargetHealth", TargetGroupArn=group)["TargetHealthDescriptions"]
    assert found["TargetHealth"] == {
        "State": "unused",
        "Reason": "Target.IpUnusable",
        "Description": "this machine has no route to 10.0.0.1",
    }
    plane.target_faults.clear()
    assert elbv2.states(group) == {"10.0.0.1": "healthy"}

"""Target groups by ELBv2's API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.aws.errors import AwsError
from tests.support.elbv2 import VPC, Elbv2, attributes, fake_elbv2

STICKY = "stickiness.type"


@pytest.fixture
def elbv2(tmp_path: Path) -> Elbv2:
    return fake_elbv2(tmp_path)


def shown(elbv2: Elbv2, arn: str) -> dict[str, Any]:
    found: dict[str, Any] = elbv2("DescribeTargetGroups", TargetGroupArns=[arn])["TargetGroups"][0]
    return found


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {},
            {"HealthCheckProtocol": "HTTP", "HealthCheckIntervalSeconds": 30, "HealthCheckTimeoutSeconds": 5}
            | {"HealthyThresholdCount": 5, "UnhealthyThresholdCount": 2, "HealthCheckPath": "/"}
            | {"Matcher": {"HttpCode": "200"}, "ProtocolVersion": "HTTP1", "HealthCheckPort": "traffic-port"},
        ),
        (
            {"ProtocolVersion": "GRPC"},
            {"Matcher": {"GrpcCode": "12"}, "HealthCheckPath": "/AWS.ALB/healthcheck", "ProtocolVersion": "GRPC"},
        ),
        (
            {"Protocol": "TCP", "HealthCheckIntervalSeconds": 10, "HealthCheckPort": "8081"},
            {"HealthCheckProtocol": "TCP", "HealthCheckTimeoutSeconds": 10, "HealthCheckPort": "8081"},
        ),
        (
            {"Protocol": "TCP", "HealthCheckProtocol": "HTTP", "HealthCheckPath": "/up"},
            {"HealthCheckPath": "/up", "Matcher": {"HttpCode": "200-399"}, "HealthCheckTimeoutSeconds": 6},
        ),
        ({"HealthCheckIntervalSeconds": 5}, {"HealthCheckTimeoutSeconds": 4}),
        ({"HealthCheckTimeoutSeconds": 60}, {"HealthCheckIntervalSeconds": 61}),
        ({"Protocol": "UDP", "TargetType": "instance"}, {"Protocol": "UDP", "TargetType": "instance"}),
    ],
)
def test_a_group_is_given_back_with_aws_defaults(elbv2: Elbv2, given: dict[str, Any], expected: dict[str, Any]) -> None:
    """What was set, and for the rest ELB's values and not those of pipeline.yaml."""
    found = shown(elbv2, elbv2.target_group(**given))
    assert {name: found[name] for name in expected} == expected
    assert {name: found[name] for name in given} == given


def test_a_group_of_functions_has_no_port(elbv2: Elbv2) -> None:
    """Nor a protocol or a VPC, and its checks are off."""
    arn = elbv2("CreateTargetGroup", Name="fn", TargetType="lambda")["TargetGroups"][0]["TargetGroupArn"]
    found = shown(elbv2, arn)
    assert not found.keys() & {"Port", "Protocol", "VpcId", "HealthCheckPort"}
    assert (found["HealthCheckEnabled"], found["HealthCheckIntervalSeconds"]) == (False, 35)
    elbv2("ModifyTargetGroup", TargetGroupArn=arn, HealthCheckEnabled=True)
    assert shown(elbv2, arn)["HealthCheckEnabled"] is True
    assert attributes(elbv2("DescribeTargetGroupAttributes", TargetGroupArn=arn))["lambda.multi_value_headers.enabled"]


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"Name": "x" * 33}, "ValidationError: Target group name .* cannot be longer than '32' characters"),
        ({"Name": "a.b"}, "ValidationError: Target group name 'a.b' can only contain"),
        ({"Name": "a--b"}, "ValidationError: 1 validation error detected: Value 'a--b' at"),
        ({"Protocol": None}, "ValidationError: A protocol must be specified"),
        ({"Port": None}, "ValidationError: A port must be specified"),
        ({"VpcId": None}, "ValidationError: A VPC ID must be specified"),
        ({"VpcId": "none"}, "ValidationError: The VPC ID 'none' is not found"),
        ({"TargetType": "lambda"}, "ValidationError: Protocol cannot be specified for target groups with target type"),
        ({"Protocol": "QUIC"}, "InvalidConfigurationRequest: Target group protocol 'QUIC' is not supported"),
        ({"TargetType": "alb"}, "ValidationError: .*target_type"),
        ({"TargetControlPort": 3000}, "InvalidConfigurationRequest: TargetControlPort is not supported"),
        ({"HealthCheckEnabled": False}, "ValidationError: Health checks cannot be disabled for target type 'ip'"),
        ({"HealthCheckProtocol": "TCP"}, "ValidationError: Health check protocol 'TCP' must be one of 'HTTP, HTTPS'"),
        ({"HealthCheckPort": "0"}, "ValidationError: Health check port '0' must be in the range"),
        ({"Matcher": {"HttpCode": "600"}}, "ValidationError: .*matcher must hold codes from 200 to 499"),
        (
            {"HealthCheckIntervalSeconds": 5, "HealthCheckTimeoutSeconds": 5},
            "ValidationError: Health check timeout '5' must be smaller than the interval '5'",
        ),
        (
            {"Protocol": "TCP", "HealthCheckIntervalSeconds": 5, "HealthCheckTimeoutSeconds": 6},
            "ValidationError: Health check timeout '6' must be smaller than or equal to the interval '5'",
        ),
    ],
)
def test_a_creation_that_is_not_possible_changes_nothing(elbv2: Elbv2, given: dict[str, Any], error: str) -> None:
    """Each mistake has AWS's code and words."""
    parameters = {"Name": "web", "Protocol": "HTTP", "Port": 80, "VpcId": VPC, "TargetType": "ip", **given}
    with pytest.raises(AwsError, match=rf"^{error}"):
        elbv2("CreateTargetGroup", **{name: value for name, value in parameters.items() if value is not None})
    assert elbv2.balancer.registry().is_empty


def test_the_same_call_again_changes_nothing(elbv2: Elbv2) -> None:
    """Also after its attributes were modified. Other settings are refused."""
    arn = elbv2.target_group()
    delay = {"Key": "deregistration_delay.timeout_seconds", "Value": "5"}
    elbv2("ModifyTargetGroupAttributes", TargetGroupArn=arn, Attributes=[delay])
    assert elbv2.target_group() == arn
    with pytest.raises(AwsError, match=r"^DuplicateTargetGroupName"):
        elbv2.target_group(Port=81)


def test_a_health_check_is_modified_in_part(elbv2: Elbv2) -> None:
    """What a call leaves out stays."""
    arn = elbv2.target_group(HealthCheckPath="/up", HealthCheckIntervalSeconds=20)
    elbv2("ModifyTargetGroup", TargetGroupArn=arn, Matcher={"HttpCode": "204"}, HealthyThresholdCount=3)
    found = shown(elbv2, arn)
    assert (found["HealthCheckPath"], found["HealthCheckIntervalSeconds"]) == ("/up", 20)
    assert (found["Matcher"], found["HealthyThresholdCount"]) == ({"HttpCode": "204"}, 3)
    network = elbv2.target_group("net", Protocol="TCP", HealthCheckProtocol="HTTP", HealthCheckPath="/up")
    elbv2("ModifyTargetGroup", TargetGroupArn=network, HealthCheckProtocol="TCP")
    assert "HealthCheckPath" not in shown(elbv2, network)


def test_attributes_are_given_back(elbv2: Elbv2) -> None:
    """Every default is reported, and all of them may be set again, as Terraform does."""
    for given in ({}, {"Protocol": "TCP"}, {"Protocol": "UDP"}, {"ProtocolVersion": "HTTP2"}):
        name = f"web-{given.get('Protocol', given.get('ProtocolVersion', 'x'))}"
        arn = elbv2.target_group(name, **given)
        known = attributes(elbv2("DescribeTargetGroupAttributes", TargetGroupArn=arn))
        assert known["deregistration_delay.timeout_seconds"] == "300"
        assert known["load_balancing.cross_zone.enabled"] == "use_load_balancer_configuration"
        assert known["target_group_health.dns_failover.minimum_healthy_targets.count"] == "1"
        every = [{"Key": key, "Value": value} for key, value in known.items()]
        assert attributes(elbv2("ModifyTargetGroupAttributes", TargetGroupArn=arn, Attributes=every)) == known


@pytest.mark.parametrize(
    ("protocol", "key", "value"),
    [
        ("HTTP", "slow_start.duration_seconds", "30"),
        ("HTTP", "load_balancing.algorithm.type", "least_outstanding_requests"),
        ("HTTP", "load_balancing.cross_zone.enabled", "false"),
        ("HTTP", "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage", "50"),
        ("TCP", "deregistration_delay.connection_termination.enabled", "true"),
        ("TCP", "proxy_protocol_v2.enabled", "true"),
        ("TCP", "target_health_state.unhealthy.connection_termination.enabled", "false"),
    ],
)
def test_a_modified_attribute_is_given_back(elbv2: Elbv2, protocol: str, key: str, value: str) -> None:
    """By every later description, and the others stay."""
    arn = elbv2.target_group(Protocol=protocol)
    elbv2("ModifyTargetGroupAttributes", TargetGroupArn=arn, Attributes=[{"Key": key, "Value": value}])
    assert attributes(elbv2("DescribeTargetGroupAttributes", TargetGroupArn=arn))[key] == value


@pytest.mark.parametrize(
    ("protocol", "given", "error"),
    [
        ("HTTP", {STICKY: "source_ip"}, "InvalidConfigurationRequest: Stickiness type 'source_ip' is not supported"),
        ("TCP", {STICKY: "lb_cookie"}, "InvalidConfigurationRequest: Stickiness type 'lb_cookie' is not supported"),
        ("TLS", {STICKY: "source_ip", "stickiness.enabled": "true"}, "InvalidConfigurationRequest: You cannot enable"),
        ("HTTP", {STICKY: "source_ip_dest_ip"}, "ValidationError: 'Stickiness type' must be one of"),
        ("HTTP", {"no.such": "1"}, "ValidationError: Target group attribute key 'no.such' is not recognized"),
        (
            "HTTP",
            {"proxy_protocol_v2.enabled": "true"},
            "ValidationError: .*'proxy_protocol_v2.enabled' is not recognized",
        ),
        ("HTTP", {"deregistration_delay.timeout_seconds": "3601"}, "ValidationError: .*must be between '0-3600'"),
        ("UDP", {"preserve_client_ip.enabled": "false"}, "InvalidConfigurationRequest: .*must be true"),
    ],
)
def test_an_attribute_that_does_not_fit_is_refused(
    elbv2: Elbv2, protocol: str, given: dict[str, str], error: str
) -> None:
    """With AWS's code, and nothing is changed."""
    arn = elbv2.target_group(Protocol=protocol)
    before = elbv2.balancer.registry()
    pairs = [{"Key": key, "Value": value} for key, value in given.items()]
    with pytest.raises(AwsError, match=rf"^{error}"):
        elbv2("ModifyTargetGroupAttributes", TargetGroupArn=arn, Attributes=pairs)
    assert elbv2.balancer.registry() is before


def test_a_group_in_use_is_not_deleted(elbv2: Elbv2) -> None:
    """As long as a listener or a rule forwards to it. Its load balancers are named."""
    balancer, web, api = elbv2.load_balancer(), elbv2.target_group(), elbv2.target_group("api")
    listener = elbv2.listener(balancer, web)
    rule = elbv2.rule(listener, api, 1)
    assert shown(elbv2, api)["LoadBalancerArns"] == [balancer]
    found = elbv2("DescribeTargetGroups", LoadBalancerArn=balancer)["TargetGroups"]
    assert [one["TargetGroupName"] for one in found] == ["api", "web"]
    for arn in (web, api):
        with pytest.raises(AwsError, match=rf"^ResourceInUse: The target group '{arn}' is currently in use"):
            elbv2("DeleteTargetGroup", TargetGroupArn=arn)
    elbv2("DeleteRule", RuleArn=rule)
    elbv2("DeleteTargetGroup", TargetGroupArn=api)
    with pytest.raises(AwsError, match=r"^TargetGroupNotFound: One or more target groups not found"):
        shown(elbv2, api)


def test_groups_are_found_by_name(elbv2: Elbv2) -> None:
    """All of them must exist, and only one kind of filter is allowed."""
    arn = elbv2.target_group()
    (found,) = elbv2("DescribeTargetGroups", Names=["web"])["TargetGroups"]
    assert found["TargetGroupArn"] == arn
    with pytest.raises(AwsError, match=r"^TargetGroupNotFound"):
        elbv2("DescribeTargetGroups", Names=["web", "none"])
    with pytest.raises(AwsError, match=r"^ValidationError: Only one of"):
        elbv2("DescribeTargetGroups", Names=["web"], TargetGroupArns=[arn])

"""Load balancers by ELBv2's API."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.aws.errors import AwsError
from pipeline.balancer.model import Declaration
from tests.support.elbv2 import SUBNETS, Elbv2, attributes, fake_elbv2


@pytest.fixture
def elbv2(tmp_path: Path) -> Elbv2:
    return fake_elbv2(tmp_path)


def test_a_load_balancer_is_given_back_as_it_was_created(elbv2: Elbv2) -> None:
    """Create answers `provisioning`, as AWS does; every later description has the same settings and is `active`."""
    made = elbv2("CreateLoadBalancer", Name="edge", Subnets=SUBNETS, SecurityGroups=["sg-1"], Scheme="internal")
    (shown,) = elbv2("DescribeLoadBalancers", Names=["edge"])["LoadBalancers"]
    assert made["LoadBalancers"][0]["State"] == {"Code": "provisioning"}
    assert made["LoadBalancers"] == [{**shown, "State": {"Code": "provisioning"}}]
    arn = shown["LoadBalancerArn"]
    assert arn.startswith("arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/edge/")
    assert shown["State"] == {"Code": "active"}
    assert (shown["Scheme"], shown["SecurityGroups"], shown["VpcId"]) == ("internal", ["sg-1"], "vpc-1")
    assert shown["AvailabilityZones"] == [
        {"ZoneName": "us-east-1a", "SubnetId": "subnet-a"},
        {"ZoneName": "us-east-1b", "SubnetId": "subnet-b"},
    ]
    assert shown["DNSName"] == "edge.shop.elb.internal"


def test_its_nodes_have_the_addresses_of_its_zones(elbv2: Elbv2) -> None:
    """The subnets choose the zones, and so the addresses that listeners bind."""
    elbv2.load_balancer()
    (made,) = elbv2.balancer.registry().load_balancers.values()
    assert made.settings.bind_addresses == ("127.0.0.1", "127.0.0.2")
    elbv2("SetSubnets", LoadBalancerArn=elbv2.load_balancer(), Subnets=["subnet-b", "subnet-c"])
    (changed,) = elbv2.balancer.registry().load_balancers.values()
    assert changed.settings.bind_addresses == ("127.0.0.2", "127.0.0.3")


def test_the_same_call_again_changes_nothing(elbv2: Elbv2) -> None:
    """A repeated create returns what exists, and one with other settings is refused."""
    arn = elbv2.load_balancer()
    before = elbv2.balancer.registry()
    assert elbv2.load_balancer() == arn
    assert elbv2.balancer.registry() is before
    with pytest.raises(AwsError, match=r"^DuplicateLoadBalancerName: .* 'edge' exists, but with different settings"):
        elbv2.load_balancer(Scheme="internal")


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"Name": "a_b"}, "ValidationError: .*alphanumeric characters and hyphens"),
        ({"Name": "internal-x"}, "ValidationError: .*cannot begin with 'internal-'"),
        ({"Name": "-x"}, "ValidationError: .*cannot begin or end with '-'"),
        ({"Name": "x" * 33}, "ValidationError: .*cannot be longer than '32' characters"),
        ({"Subnets": []}, "ValidationError: At least one subnet must be specified"),
        ({"Subnets": ["subnet-z"]}, "SubnetNotFound: The subnet ID 'subnet-z' does not exist"),
        ({"Subnets": ["subnet-a", "subnet-a"]}, "InvalidConfigurationRequest: .*same Availability Zone"),
        ({"SecurityGroups": ["none"]}, "InvalidSecurityGroup: Security group 'none' does not exist"),
        (
            {"Type": "classic"},
            "ValidationError: Load balancer type 'classic' must be one of 'application, network, gateway'",
        ),
        ({"CustomerOwnedIpv4Pool": "ipv4pool-coip-1"}, "InvalidConfigurationRequest: CustomerOwnedIpv4Pool"),
        ({"Tags": [{"Key": "a"}, {"Key": "a"}]}, "DuplicateTagKeys"),
    ],
)
def test_a_creation_that_is_not_possible_changes_nothing(elbv2: Elbv2, given: dict[str, object], error: str) -> None:
    """Each mistake has AWS's code, and nothing is created."""
    with pytest.raises(AwsError, match=f"^{error}"):
        elbv2.load_balancer(**given)  # type: ignore[arg-type]
    assert elbv2.balancer.registry().is_empty


def test_mappings_choose_allocated_addresses_only(elbv2: Elbv2) -> None:
    """Its node listens on an allocated address. An address of AWS's network is refused."""
    mappings = [{"SubnetId": "subnet-a", "AllocationId": "eipalloc-1"}]
    arn = elbv2.load_balancer(Subnets=[], SubnetMappings=mappings, Type="network")
    (shown,) = elbv2("DescribeLoadBalancers", LoadBalancerArns=[arn])["LoadBalancers"]
    address = {"IpAddress": "127.64.0.1", "AllocationId": "eipalloc-1"}
    assert shown["AvailabilityZones"][0]["LoadBalancerAddresses"] == [address]
    (made,) = elbv2.balancer.registry().load_balancers.values()
    assert made.settings.bind_addresses == ("127.64.0.1",)
    assert "loadbalancer/net/edge/" in arn
    with pytest.raises(AwsError, match="PrivateIPv4Address is not supported"):
        elbv2.load_balancer(
            "other", Subnets=[], SubnetMappings=[{"SubnetId": "subnet-a", "PrivateIPv4Address": "10.0.0.1"}]
        )
    with pytest.raises(AwsError, match="AllocationIdNotFound"):
        elbv2.load_balancer("other", Subnets=[], SubnetMappings=[{"SubnetId": "subnet-a", "AllocationId": "x"}])


def test_attributes_are_given_back(elbv2: Elbv2) -> None:
    """Every default is reported. A modified attribute is given back, and Terraform's defaults are accepted."""
    arn = elbv2.load_balancer()
    known = attributes(elbv2("DescribeLoadBalancerAttributes", LoadBalancerArn=arn))
    assert known["idle_timeout.timeout_seconds"] == "60"
    assert known["load_balancing.cross_zone.enabled"] == "true"
    assert (known["access_logs.s3.enabled"], known["zonal_shift.config.enabled"]) == ("false", "false")
    given = [{"Key": key, "Value": value} for key, value in known.items()]
    elbv2("ModifyLoadBalancerAttributes", LoadBalancerArn=arn, Attributes=given)
    changed = {"Key": "idle_timeout.timeout_seconds", "Value": "600"}
    shown = elbv2("ModifyLoadBalancerAttributes", LoadBalancerArn=arn, Attributes=[changed])
    assert attributes(shown) == {**known, "idle_timeout.timeout_seconds": "600"}
    assert attributes(elbv2("DescribeLoadBalancerAttributes", LoadBalancerArn=arn)) == attributes(shown)


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("access_logs.s3.enabled", "true", "InvalidConfigurationRequest: .*logs are not written to S3"),
        ("no.such.key", "1", "ValidationError: Load balancer attribute key 'no.such.key' is not recognized"),
        ("idle_timeout.timeout_seconds", "many", "ValidationError: .*must be a whole number"),
        ("idle_timeout.timeout_seconds", "5000", "InvalidConfigurationRequest: idle_timeout.timeout_seconds"),
        ("deletion_protection.enabled", "maybe", r"ValidationError: .*must be one of \[true, false\]"),
        ("load_balancing.cross_zone.enabled", "false", "InvalidConfigurationRequest: .*must be true"),
    ],
)
def test_an_attribute_without_effect_is_refused(elbv2: Elbv2, key: str, value: str, error: str) -> None:
    """No attribute is accepted and then ignored."""
    arn = elbv2.load_balancer()
    with pytest.raises(AwsError, match=f"^{error}"):
        elbv2("ModifyLoadBalancerAttributes", LoadBalancerArn=arn, Attributes=[{"Key": key, "Value": value}])


def test_deletion_takes_the_listeners_and_leaves_the_target_groups(elbv2: Elbv2) -> None:
    """As in AWS. Deleting it again succeeds."""
    arn, group = elbv2.load_balancer(), elbv2.target_group()
    elbv2.rule(elbv2.listener(arn, group), group, 1)
    elbv2("DeleteLoadBalancer", LoadBalancerArn=arn)
    registry = elbv2.balancer.registry()
    assert (*registry.load_balancers, *registry.listeners, *registry.rules) == ()
    assert len(registry.target_groups) == 1
    elbv2("DeleteLoadBalancer", LoadBalancerArn=arn)
    with pytest.raises(AwsError, match=r"^LoadBalancerNotFound"):
        elbv2("DescribeLoadBalancers", LoadBalancerArns=[arn])


def test_deletion_protection_refuses_a_deletion(elbv2: Elbv2) -> None:
    """Until the attribute is false again."""
    arn = elbv2.load_balancer()
    protect = {"Key": "deletion_protection.enabled", "Value": "true"}
    elbv2("ModifyLoadBalancerAttributes", LoadBalancerArn=arn, Attributes=[protect])
    with pytest.raises(AwsError, match=r"^OperationNotPermitted: .*deletion protection is enabled"):
        elbv2("DeleteLoadBalancer", LoadBalancerArn=arn)


def test_pages_hold_every_load_balancer_once(elbv2: Elbv2) -> None:
    """A marker continues after the last one, also if that one is deleted meanwhile."""
    arns = {f"edge-{number}": elbv2.load_balancer(f"edge-{number}") for number in range(5)}
    first = elbv2("DescribeLoadBalancers", PageSize=2)
    elbv2("DeleteLoadBalancer", LoadBalancerArn=arns["edge-1"])
    second = elbv2("DescribeLoadBalancers", PageSize=2, Marker=first["NextMarker"])
    third = elbv2("DescribeLoadBalancers", PageSize=2, Marker=second["NextMarker"])
    names = [one["LoadBalancerName"] for page in (first, second, third) for one in page["LoadBalancers"]]
    assert names == [f"edge-{number}" for number in range(5)]
    assert "NextMarker" not in third


def test_what_pipeline_yaml_declares_is_seen_and_not_changed(elbv2: Elbv2) -> None:
    """A key sees all resources of its owner. A declared one names the file to change."""
    listener = {"port": 18080, "default_action": {"forward": "web"}}
    declaration = {"target_groups": {"web": {"port": 80}}, "load_balancers": {"main": {"listeners": [listener]}}}
    elbv2.balancer.apply("shop", Declaration.model_validate(declaration))
    (shown,) = elbv2("DescribeLoadBalancers")["LoadBalancers"]
    assert shown["LoadBalancerName"] == "main"
    (found,) = elbv2("DescribeListeners", LoadBalancerArn=shown["LoadBalancerArn"])["Listeners"]
    assert found["DefaultActions"][0]["ForwardConfig"]["TargetGroups"][0]["Weight"] == 1
    assert [one["IsDefault"] for one in elbv2("DescribeRules", ListenerArn=found["ListenerArn"])["Rules"]] == [True]
    for operation in ("DeleteLoadBalancer", "SetSecurityGroups"):
        extra = {"SecurityGroups": ["sg-1"]} if operation == "SetSecurityGroups" else {}
        with pytest.raises(AwsError, match=r"^OperationNotPermitted: .*declared in the pipeline.yaml of shop"):
            elbv2(operation, LoadBalancerArn=shown["LoadBalancerArn"], **extra)


def test_owners_do_not_see_one_another(elbv2: Elbv2) -> None:
    """A resource of another owner does not exist for a key."""
    arn = elbv2.load_balancer()
    other = Elbv2(elbv2.balancer, owner="other")
    assert other("DescribeLoadBalancers")["LoadBalancers"] == []
    with pytest.raises(AwsError, match=r"^LoadBalancerNotFound"):
        other("DescribeLoadBalancers", LoadBalancerArns=[arn])
    with pytest.raises(AwsError, match="'edge' is not a valid load balancer ARN"):
        other("DescribeLoadBalancers", LoadBalancerArns=["edge"])


def test_tags_can_be_added_and_removed(elbv2: Elbv2) -> None:
    """Tags of all kinds of resources, at most fifty each."""
    arn = elbv2.load_balancer(Tags=[{"Key": "a", "Value": "1"}])
    elbv2("AddTags", ResourceArns=[arn], Tags=[{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "3"}])
    elbv2("RemoveTags", ResourceArns=[arn], TagKeys=["b", "none"])
    (shown,) = elbv2("DescribeTags", ResourceArns=[arn])["TagDescriptions"]
    assert shown == {"ResourceArn": arn, "Tags": [{"Key": "a", "Value": "2"}]}
    with pytest.raises(AwsError, match=r"^TooManyTags"):
        elbv2("AddTags", ResourceArns=[arn], Tags=[{"Key": str(number)} for number in range(50)])
    missing = {
        "x": "ValidationError: 'x' is not a valid ARN",
        "arn:aws:elasticloadbalancing:us-east-1:000000000000:listener/x": "ListenerNotFound: The specified listener",
        "arn:aws:elasticloadbalancing:us-east-1:000000000000:listener-rule/x": "RuleNotFound: The specified rule",
        "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/x": "TargetGroupNotFound",
        "arn:aws:elasticloadbalancing:us-east-1:000000000000:truststore/x": "TrustStoreNotFound",
    }
    for wrong, error in missing.items():
        with pytest.raises(AwsError, match=rf"^{error}"):
            elbv2("DescribeTags", ResourceArns=[wrong])


def test_what_a_machine_does_not_have_is_answered_as_not_configured(elbv2: Elbv2) -> None:
    """Nothing is reserved, there are no trust stores and no pools, and asking for one is refused."""
    arn = elbv2.load_balancer()
    assert elbv2("DescribeTrustStores")["TrustStores"] == []
    assert elbv2("DescribeCapacityReservation", LoadBalancerArn=arn)["CapacityReservationState"] == []
    assert elbv2("ModifyIpPools", LoadBalancerArn=arn, RemoveIpamPools=["ipv4"]) == {"IpamPools": {}}
    elbv2("ModifyCapacityReservation", LoadBalancerArn=arn, ResetCapacityReservation=True)
    refused = {
        "CreateTrustStore": (
            {"CaCertificatesBundleS3Bucket": "b", "CaCertificatesBundleS3Key": "k"},
            "CaCertificatesBundleNotFound",
        ),
        "DescribeTrustStores": ({"Names": ["x"]}, "TrustStoreNotFound"),
        "DeleteTrustStore": ({"TrustStoreArn": "x"}, "TrustStoreNotFound"),
        "GetResourcePolicy": ({"ResourceArn": arn}, "ResourceNotFound"),
        "ModifyIpPools": (
            {"LoadBalancerArn": arn, "IpamPools": {"Ipv4IpamPoolId": "p"}},
            "InvalidConfigurationRequest",
        ),
        "ModifyCapacityReservation": (
            {"LoadBalancerArn": arn, "MinimumLoadBalancerCapacity": {"CapacityUnits": 100}},
            "InvalidConfigurationRequest",
        ),
    }
    for operation, (given, code) in refused.items():
        with pytest.raises(AwsError) as raised:
            elbv2(operation, **given)
        assert raised.value.code == code


def test_the_limits_of_the_account_are_reported(elbv2: Elbv2) -> None:
    """With AWS's names."""
    limits = {one["Name"]: one["Max"] for one in elbv2("DescribeAccountLimits")["Limits"]}
    assert limits["listeners-per-application-load-balancer"] == "50"
    assert limits["condition-values-per-alb-rule"] == "5"

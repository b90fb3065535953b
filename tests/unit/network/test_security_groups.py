"""Security groups and their rules."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.network.attached import Interface
from tests.unit.network.ec2 import Ec2, filters, tagged

HTTP = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80}


@pytest.fixture
def vpc(ec2: Ec2) -> str:
    """A VPC."""
    return ec2.vpc()


def permissions(ec2: Ec2, group: str, name: str = "IpPermissions") -> list[dict[str, Any]]:
    """Return the permissions of a group, without empty sources."""
    (found,) = ec2.call("DescribeSecurityGroups", GroupIds=[group])["SecurityGroups"]
    return [{key: value for key, value in each.items() if value != []} for each in found[name]]


def test_new_group(ec2: Ec2, vpc: str) -> None:
    """A new group lets nothing in and everything out."""
    group = ec2.group(vpc)
    assert permissions(ec2, group) == []
    assert permissions(ec2, group, "IpPermissionsEgress") == [
        {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ]


def test_rules(ec2: Ec2, vpc: str) -> None:
    """Rules for the same ports are one permission, with all kinds of sources, and each has an id of its own."""
    group, other = ec2.group(vpc), ec2.group(vpc, "other")
    sources = {
        "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "inside"}, {"CidrIp": "192.0.2.1/32"}],
        "Ipv6Ranges": [{"CidrIpv6": "::/0"}],
        "UserIdGroupPairs": [{"GroupId": other}],
    }
    made = ec2.call(
        "AuthorizeSecurityGroupIngress",
        GroupId=group,
        IpPermissions=[{**HTTP, **sources}],
        TagSpecifications=tagged("security-group-rule", Name="http"),
    )["SecurityGroupRules"]
    assert len({rule["SecurityGroupRuleId"] for rule in made}) == 4
    pairs = [{"GroupId": other, "UserId": "000000000000"}]
    assert permissions(ec2, group) == [{**HTTP, **sources, "UserIdGroupPairs": pairs}]
    rules = ec2.call("DescribeSecurityGroupRules", Filters=filters(group_id=group, **{"tag:Name": "http"}))
    assert rules["SecurityGroupRules"] == made
    wanted = [made[0]["SecurityGroupRuleId"]]
    assert ec2.call("DescribeSecurityGroupRules", SecurityGroupRuleIds=wanted)["SecurityGroupRules"] == made[:1]


def test_short_form(ec2: Ec2, vpc: str) -> None:
    """A rule can be given without permissions, and numbers of protocols are names."""
    group = ec2.group(vpc)
    ec2.call("AuthorizeSecurityGroupIngress", GroupId=group, **{**HTTP, "IpProtocol": "6"}, CidrIp="0.0.0.0/0")
    assert permissions(ec2, group) == [{**HTTP, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]


def test_revoke(ec2: Ec2, vpc: str) -> None:
    """Rules are revoked by what they let through or by their ids; the description does not matter."""
    group, other = ec2.group(vpc), ec2.group(vpc, "other")
    described = {**HTTP, "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "inside"}]}
    ec2.call("AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[described])
    plain = {**HTTP, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    gone = ec2.call("RevokeSecurityGroupIngress", GroupId=group, IpPermissions=[plain])["RevokedSecurityGroupRules"]
    assert [each["CidrIpv4"] for each in gone] == ["10.0.0.0/8"]
    paired = {**HTTP, "UserIdGroupPairs": [{"GroupId": other}]}
    (rule,) = ec2.call("AuthorizeSecurityGroupEgress", GroupId=group, IpPermissions=[paired])["SecurityGroupRules"]
    ids = [rule["SecurityGroupRuleId"]]
    assert ec2.refusal("RevokeSecurityGroupIngress", GroupId=group, SecurityGroupRuleIds=ids)[0] == (
        "InvalidSecurityGroupRuleId.NotFound"
    )
    gone = ec2.call("RevokeSecurityGroupEgress", GroupId=group, SecurityGroupRuleIds=ids)["RevokedSecurityGroupRules"]
    assert gone[0]["ReferencedGroupId"] == other
    assert permissions(ec2, group) == []
    assert ec2.refusal("RevokeSecurityGroupIngress", GroupId=group, IpPermissions=[plain]) == (
        "InvalidPermission.NotFound",
        "The specified rule does not exist in this security group.",
    )


@pytest.mark.parametrize(
    ("permission", "code"),
    [
        ({**HTTP, "IpRanges": [{"CidrIp": "10.0.0.1/8"}]}, "InvalidParameterValue"),
        ({**HTTP, "IpProtocol": "sctp!", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}, "InvalidParameterValue"),
        ({**HTTP, "FromPort": 90, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}, "InvalidParameterValue"),
        ({"IpProtocol": "tcp", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}, "InvalidParameterValue"),
        ({**HTTP, "UserIdGroupPairs": [{"GroupId": "sg-1"}]}, "InvalidGroup.NotFound"),
        ({**HTTP, "UserIdGroupPairs": [{"GroupName": "web"}]}, "MissingParameter"),
        ({**HTTP, "PrefixListIds": [{"PrefixListId": "pl-1"}]}, "InvalidPrefixListID.NotFound"),
        ({**HTTP, "IpRanges": [{"CidrIp": "192.0.2.0/24"}]}, "InvalidPermission.Duplicate"),
    ],
)
def test_refused_rules(ec2: Ec2, vpc: str, permission: dict[str, Any], code: str) -> None:
    """A wrong rule is refused, and none of the request is added."""
    group = ec2.group(vpc)
    first = {**HTTP, "IpRanges": [{"CidrIp": "192.0.2.0/24"}]}
    ec2.call("AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[first])
    before = permissions(ec2, group)
    good = {**HTTP, "FromPort": 79, "IpRanges": [{"CidrIp": "192.0.2.0/24"}]}
    asked = [good, permission]
    assert ec2.refusal("AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=asked)[0] == code
    assert permissions(ec2, group) == before


def test_names(ec2: Ec2, vpc: str) -> None:
    """A name is unique in its VPC. In the default VPC, a group can be found by it."""
    ec2.group(vpc)
    parameters = {"GroupName": "web", "Description": "a"}
    assert ec2.refusal("CreateSecurityGroup", VpcId=vpc, **parameters)[0] == "InvalidGroup.Duplicate"
    group = ec2.call("CreateSecurityGroup", **parameters)["GroupId"]
    ec2.call("AuthorizeSecurityGroupIngress", GroupName="web", **HTTP, CidrIp="0.0.0.0/0")
    (found,) = ec2.call("DescribeSecurityGroups", GroupNames=["web"])["SecurityGroups"]
    assert (found["GroupId"], len(found["IpPermissions"])) == (group, 1)
    assert ec2.refusal("DescribeSecurityGroups", GroupNames=["other"])[0] == "InvalidGroup.NotFound"
    assert ec2.refusal("DeleteSecurityGroup")[0] == "MissingParameter"
    assert ec2.refusal("CreateSecurityGroup", GroupName="sg-1", Description="a")[0] == "InvalidParameterValue"
    assert ec2.call("DeleteSecurityGroup", GroupName="web") == {"Return": True, "GroupId": group}


def test_deletions(ec2: Ec2, vpc: str) -> None:
    """A group stays while a load balancer or a rule of another group uses it. The default one stays always."""
    group, other = ec2.group(vpc), ec2.group(vpc, "other")
    paired = {**HTTP, "UserIdGroupPairs": [{"GroupId": group}]}
    ec2.call("AuthorizeSecurityGroupIngress", GroupId=other, IpPermissions=[paired])
    assert ec2.refusal("DeleteSecurityGroup", GroupId=group) == (
        "DependencyViolation",
        f"resource {group} has a dependent object",
    )
    ec2.call("DeleteSecurityGroup", GroupId=other)
    subnet = ec2.subnet(vpc)["SubnetId"]
    ec2.interfaces.append(Interface("eni-1", "ELB app/web/1", subnet, "127.0.0.1", (group,)))
    assert ec2.refusal("DeleteSecurityGroup", GroupId=group)[0] == "DependencyViolation"
    ec2.interfaces.clear()
    ec2.call("DeleteSecurityGroup", GroupId=group)
    (default,) = ec2.call("DescribeSecurityGroups", Filters=filters(vpc_id=vpc))["SecurityGroups"]
    assert ec2.refusal("DeleteSecurityGroup", GroupId=default["GroupId"])[0] == "CannotDelete"

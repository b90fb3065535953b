"""Parameters that name what exists in the owner's networks, and rules about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.base.home import Home
from pipeline.machine.existing import ExistingNetwork
from pipeline.network.defaults import default_resources, default_vpc_id
from pipeline.network.kinds import Kind
from pipeline.network.zones import DEFAULT_ZONES
from pipeline.stacks.error import StackError
from pipeline.stacks.goals import StackRequest
from pipeline.stacks.offered import open_stacks
from pipeline.stacks.records import Stack
from pipeline.stacks.status import StackStatus
from pipeline.stacks.template import TemplateError
from pipeline.stacks.validate import validated
from tests.support.stack_machine import OWNER, SUBNETS, VPC, StackMachine

REGION = "eu-west-1"
TEMPLATE = """
Parameters:
  Vpc: {Type: 'AWS::EC2::VPC::Id'}
  Subnets: {Type: 'List<AWS::EC2::Subnet::Id>'}
Rules:
  SubnetsOfVpc:
    Assertions:
      - Assert: !EachMemberEquals [!ValueOf [Subnets, VpcId], !Ref Vpc]
        AssertDescription: All subnets must be in the VPC
Resources:
  Handle: {Type: 'AWS::CloudFormation::WaitConditionHandle', Metadata: !Ref Vpc}
"""

PLAIN = """
Parameters: {Vpc: {Type: 'AWS::EC2::VPC::Id'}}
Resources: {Handle: {Type: 'AWS::CloudFormation::WaitConditionHandle'}}
"""


def given(vpc: str) -> dict[str, str]:
    return {"Vpc": vpc, "Subnets": ",".join(SUBNETS)}


def make_network(folder: Path) -> str:
    """Make a VPC without subnets. Return its id."""
    machine = StackMachine(folder)
    return machine.create("AWS::EC2::VPC", "lab-Net-AAAAAAAAAAAA", CidrBlock="10.0.0.0/16").physical_id


def test_rules_compare_what_exists(tmp_path: Path) -> None:
    """They are checked when a user gives the values, and not again when the operation goes on."""
    home = Home(tmp_path)
    other = make_network(home.aws)
    stacks = open_stacks(home)

    def create(vpc: str) -> Stack:
        return stacks.wait(stacks.create(OWNER, REGION, "shop", StackRequest(TEMPLATE, given(vpc))).id)

    with pytest.raises(TemplateError, match="Rule SubnetsOfVpc failed: All subnets must be in the VPC"):
        create(other)
    with pytest.raises(TemplateError, match="parameter value vpc-1 for parameter name Vpc does not exist"):
        create("vpc-1")
    assert create(VPC).status is StackStatus.CREATE_COMPLETE
    stacks.close()


def test_a_value_that_is_gone_does_not_stop_the_deletion(tmp_path: Path) -> None:
    """What a stack has accepted is not checked again."""
    home = Home(tmp_path)
    vpc = make_network(home.aws)
    stacks = open_stacks(home)
    stack = stacks.wait(stacks.create(OWNER, REGION, "shop", StackRequest(PLAIN, {"Vpc": vpc})).id)
    StackMachine(home.aws).ec2("DeleteVpc", VpcId=vpc)
    stacks.delete(OWNER, "shop")
    assert stacks.wait(stack.id).status is StackStatus.DELETE_COMPLETE
    stacks.close()


def test_a_template_is_validated_with_any_network(tmp_path: Path) -> None:
    """No owner is known then, so nothing can be compared with what exists."""
    stacks = open_stacks(Home(tmp_path))
    assert validated(stacks, PLAIN, "shop.yaml", {"Vpc": "vpc-1"})["ResourceTypes"]
    stacks.close()


def test_images_of_aws_have_an_id(tmp_path: Path) -> None:
    """It is the same at each evaluation. Other parameters of SSM do not exist."""
    image = "/aws/service/ecs/optimized-ami/amazon-linux-2/recommended/image_id"
    text = f"""
Parameters: {{Image: {{Type: 'AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>', Default: {image}}}}}
Resources: {{Handle: {{Type: 'AWS::CloudFormation::WaitConditionHandle'}}}}
Outputs: {{Image: {{Value: !Ref Image}}}}
"""
    stacks = open_stacks(Home(tmp_path))
    (output,) = stacks.wait(stacks.create(OWNER, REGION, "shop", StackRequest(text)).id).outputs
    assert output.value.startswith("ami-")
    with pytest.raises(StackError, match="No updates"):
        stacks.update(OWNER, "shop", StackRequest(text))
    with pytest.raises(TemplateError, match=r"Unable to fetch parameters \[/shop/image\]"):
        stacks.create(OWNER, REGION, "other", StackRequest(text.replace(image, "/shop/image")))
    stacks.close()


def test_attributes_are_those_of_cloudformation(tmp_path: Path) -> None:
    """Tags, the zone and the VPC of a subnet, and the default security group of a VPC. Others raise."""
    machine = StackMachine(tmp_path)
    machine.ec2("CreateTags", Resources=[VPC, SUBNETS[0]], Tags=[{"Key": "Team", "Value": "web"}])
    found = ExistingNetwork(machine.machine.networks, OWNER)
    group = next(r.id for r in default_resources(OWNER, DEFAULT_ZONES) if r.kind is Kind.SECURITY_GROUP)
    subnet, vpc = "AWS::EC2::Subnet::Id", "AWS::EC2::VPC::Id"
    assert found.attribute(subnet, SUBNETS[0], "VpcId") == default_vpc_id(OWNER) == VPC
    assert found.attribute(subnet, SUBNETS[0], "AvailabilityZone") == DEFAULT_ZONES[0].name
    assert found.attribute(subnet, SUBNETS[0], "Tags.Team") == "web"
    assert found.attribute(vpc, VPC, "DefaultSecurityGroup") == group
    assert (found.all("AWS::EC2::VPC::Id"), found.all("AWS::EC2::Image::Id")) == ([VPC], None)
    for value, attribute in ((VPC, "Tags.Owner"), (VPC, "Colour"), ("vpc-1", "Tags.Team")):
        with pytest.raises(KeyError):
            found.attribute(vpc, value, attribute)

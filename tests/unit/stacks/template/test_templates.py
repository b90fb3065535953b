"""Whole templates, of the kinds that users of AWS have."""

from __future__ import annotations

import pytest

from pipeline.stacks.template import JSON, PREVIOUS_VALUE, Template, TemplateError
from tests.unit.stacks.template.good import PSEUDO, attributes
from tests.unit.stacks.template.templates import CDK, NETWORK, SERVICE, SUBNETS

EXPORTS = {"net:Cluster": "main", "net:Subnets": "subnet-1,subnet-2", "net:Listener": "arn"}


def network_attributes(name: str, attribute: str | None) -> JSON:
    """The attributes of resources, with a real block of addresses."""
    return "10.20.0.0/16" if attribute == "CidrBlock" else attributes(name, attribute)


def test_a_network() -> None:
    """Subnets are parts of the VPC's block, in zones of their own. A policy's Condition stays as it is."""
    found = Template.parse(NETWORK).evaluate({}, PSEUDO, {}, ["local-a", "local-b"])
    assert found.order == ("Vpc", "SubnetOne", "SubnetTwo", "Gateway", "Attachment", "Role", "Balancer")
    assert found.resolve("SubnetTwo", network_attributes) == {
        "AvailabilityZone": "local-b",
        "CidrBlock": "10.20.1.0/24",
        "VpcId": "Vpc",
    }
    policy = found.resolve("Role", network_attributes)["AssumeRolePolicyDocument"]
    assert policy == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "ecs-tasks.amazonaws.com"},
                "Action": ["sts:AssumeRole"],
                "Condition": {"StringEquals": {"aws:SourceAccount": "000000000000"}},
            }
        ],
    }
    assert found.exports == {"Url": "shop:Url"}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_list_by_conditions(count: int) -> None:
    """A number as allowed value equals its text, and only the chosen list is evaluated."""
    subnets = ["subnet-1", "subnet-2", "subnet-3"][:count]
    given = {"Count": count, "Subnets": ",".join(subnets)}
    found = Template.parse(SUBNETS).evaluate(given, PSEUDO, {}, [])
    assert found.resolve("Balancer", attributes) == {"Subnets": subnets}
    assert {name: output.value for name, output in found.outputs(attributes).items()} == {"Secured": "false"}


def test_a_resource_by_a_condition() -> None:
    """With a certificate the listener is there, and so is its output."""
    given = {"Subnets": "a,b", "Certificate": "arn:aws:acm:x"}
    found = Template.parse(SUBNETS).evaluate(given, PSEUDO, {}, [])
    assert list(found.resources) == ["Balancer", "Secured"]
    assert {name: output.value for name, output in found.outputs(attributes).items()} == {
        "Secured": "true",
        "Listener": "Secured",
    }


def test_a_service_in_the_network_of_another_stack() -> None:
    """Imports are the values of exports, and a property without a value is left out."""
    template = Template.parse(SERVICE)
    found = template.evaluate({"Image": "shop:1"}, PSEUDO, EXPORTS, [])
    assert found.imports == set(EXPORTS)
    assert found.order == ("Task", "Rule", "Service")
    assert found.resolve("Service", attributes) == {
        "Cluster": "main",
        "NetworkConfiguration": {"AwsvpcConfiguration": {"Subnets": ["subnet-1", "subnet-2"]}},
        "TaskDefinition": "Task",
    }
    assert found.resolve("Task", attributes) == {
        "ContainerDefinitions": [{"Name": "web", "Image": "shop:1", "PortMappings": [{"ContainerPort": "80"}]}]
    }
    assert found.resources["Service"].update_replace_policy == "Retain"
    kept = template.evaluate({"Image": PREVIOUS_VALUE}, PSEUDO, EXPORTS, [], previous=found.parameters)
    assert kept.parameters == found.parameters


def test_a_template_of_cdk() -> None:
    """The version of the bootstrap stack is asked for in SSM, and its rule is checked."""
    template = Template.parse(CDK)
    found = template.evaluate({}, PSEUDO, {}, [], ssm={"/cdk-bootstrap/hnb659fds/version": "6"}.__getitem__)
    assert found.order == ("Cluster", "Group", "Listener", "Service9571FDD8", "CDKMetadata")
    with pytest.raises(TemplateError) as caught:
        template.evaluate({}, PSEUDO, {}, [], ssm=lambda _: "5")
    assert caught.value.reason == "Rule CheckBootstrapVersion failed: version 6 is required"
    with pytest.raises(TemplateError) as caught:
        template.evaluate({}, PSEUDO, {}, [])
    assert caught.value.reason == (
        "Unable to fetch parameters [/cdk-bootstrap/hnb659fds/version] from parameter store for this account."
    )

"""What GetTemplateSummary and ValidateTemplate are told."""

from __future__ import annotations

import pytest

from pipeline.stacks.template import JSON, Template
from tests.unit.stacks.template.good import GOOD


def test_the_summary_of_a_template() -> None:
    """Parameters have their default, type and allowed values. Secret defaults are masked."""
    text = GOOD.replace("  Name:\n", "  Name:\n    NoEcho: true\n    Description: Name of the service\n")
    summary = Template.parse(f"Metadata: {{Author: me}}\n{text}").summary()
    assert summary == {
        "Description": "A web service",
        "Version": "2010-09-09",
        "Metadata": '{"Author":"me"}',
        "ResourceTypes": [
            "AWS::ElasticLoadBalancingV2::LoadBalancer",
            "AWS::ElasticLoadBalancingV2::TargetGroup",
            "AWS::ElasticLoadBalancingV2::Listener",
            "AWS::Logs::LogGroup",
        ],
        "Parameters": [
            {
                "ParameterKey": "Environment",
                "ParameterType": "String",
                "NoEcho": False,
                "DefaultValue": "test",
                "ParameterConstraints": {"AllowedValues": ["test", "prod"]},
            },
            {
                "ParameterKey": "Port",
                "ParameterType": "Number",
                "NoEcho": False,
                "DefaultValue": "8080",
                "ParameterConstraints": {},
            },
            {
                "ParameterKey": "Name",
                "ParameterType": "String",
                "NoEcho": True,
                "DefaultValue": "****",
                "Description": "Name of the service",
                "ParameterConstraints": {},
            },
            {
                "ParameterKey": "Subnets",
                "ParameterType": "List<AWS::EC2::Subnet::Id>",
                "NoEcho": False,
                "DefaultValue": "subnet-1, subnet-2",
                "ParameterConstraints": {},
            },
        ],
    }


def test_a_template_without_anything_but_a_resource() -> None:
    """Keys without a value are left out, except for the two lists."""
    assert Template.parse("Resources: {A: {Type: 'A::B::C'}}").summary() == {
        "Parameters": [],
        "ResourceTypes": ["A::B::C"],
    }


@pytest.mark.parametrize(
    ("head", "resources", "capabilities", "reason"),
    [
        (
            "",
            "{R: {Type: 'AWS::IAM::Role'}, P: {Type: 'AWS::IAM::Policy', Properties: {PolicyName: a}}}",
            ["CAPABILITY_IAM"],
            "The following resource(s) require capabilities: [AWS::IAM::Role, AWS::IAM::Policy]",
        ),
        (
            "",
            "{R: {Type: 'AWS::IAM::Role', Properties: {RoleName: a}}}",
            ["CAPABILITY_NAMED_IAM"],
            "The following resource(s) require capabilities: [AWS::IAM::Role]",
        ),
        (
            "Transform: AWS::LanguageExtensions\n",
            "{R: {Type: 'AWS::IAM::User'}}",
            ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            "The following resource(s) require capabilities: [AWS::IAM::User]; "
            "The following transform(s) require capabilities: [AWS::LanguageExtensions]",
        ),
    ],
)
def test_capabilities(head: str, resources: str, capabilities: JSON, reason: str) -> None:
    """Resources of IAM and transforms need a capability."""
    summary = Template.parse(f"{head}Resources: {resources}").summary()
    assert (summary["Capabilities"], summary["CapabilitiesReason"]) == (capabilities, reason)

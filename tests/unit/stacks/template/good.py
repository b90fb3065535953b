"""A template with all sections, and ways to evaluate it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.stacks.template import JSON, Evaluated, Template, Unknown, pseudo_parameters

GOOD = """\
AWSTemplateFormatVersion: 2010-09-09
Description: A web service
Parameters:
  Environment:
    Type: String
    Default: test
    AllowedValues: [test, prod]
  Port:
    Type: Number
    Default: 8080
    MinValue: 1
    MaxValue: 65535
  Name:
    Type: String
    Default: shop
    AllowedPattern: "[a-z]+"
    MinLength: 2
    MaxLength: 10
  Subnets:
    Type: List<AWS::EC2::Subnet::Id>
    Default: subnet-1, subnet-2
Mappings:
  Sizes:
    test: {Count: 1}
    prod: {Count: 3}
Conditions:
  IsProd: !Equals [!Ref Environment, prod]
  IsTest: !Not [!Condition IsProd]
Rules:
  Ports:
    RuleCondition: !Equals [!Ref Environment, prod]
    Assertions:
      - Assert: !Contains [["80", "443"], !Ref Port]
        AssertDescription: production listens on 80 or 443
Resources:
  Web:
    Type: AWS::ElasticLoadBalancingV2::LoadBalancer
    Properties:
      Name: !Sub "${Name}-${AWS::Region}"
      Subnets: !Ref Subnets
  Group:
    Type: AWS::ElasticLoadBalancingV2::TargetGroup
    Properties:
      Port: !Ref Port
  Listener:
    Type: AWS::ElasticLoadBalancingV2::Listener
    DependsOn: Group
    Properties:
      LoadBalancerArn: !Ref Web
      Port: 80
      DefaultActions:
        - Type: forward
          TargetGroupArn: !Ref Group
  Audit:
    Type: AWS::Logs::LogGroup
    Condition: IsProd
    DeletionPolicy: Retain
Outputs:
  Url:
    Description: Address of the service
    Value: !Sub http://${Web.DNSName}/
    Export:
      Name: !Sub "${AWS::StackName}:Url"
"""

PSEUDO = pseudo_parameters(
    account="000000000000",
    region="eu-west-1",
    stack_name="shop",
    stack_id="arn:aws:cloudformation:eu-west-1:000000000000:stack/shop/1",
    notifications=["arn:aws:sns:eu-west-1:000000000000:topic"],
)


def evaluated(text: str, parameters: Mapping[str, object] | None = None, **options: Any) -> Evaluated:
    """Parse and evaluate a template, with one export and two zones."""
    template = Template.parse(text, "t.yaml")
    return template.evaluate(parameters or {}, PSEUDO, {"net:Vpc": "vpc-1"}, ["local-a", "local-b"], **options)


def attributes(name: str, attribute: str | None) -> JSON:
    """The attributes of resources that exist: `Web` and `Web.DNSName`."""
    return name if attribute is None else f"{name}.{attribute}"


def unknown(_name: str, _attribute: str | None) -> JSON:
    """No resource exists."""
    raise Unknown


def value_of(
    expression: str, sections: str = "", parameters: Mapping[str, object] | None = None, **options: Any
) -> JSON:
    """Return the value of a property that is written as `expression`. Other is another resource."""
    resources = "Resources:\n  Other: {Type: A::B::C}\n  It:\n    Type: A::B::C\n    Properties:\n"
    text = f"{sections}\n{resources}      P: {expression}\n"
    return evaluated(text, parameters, **options).resolve("It", attributes).get("P", "left out")

"""Values of parameters: defaults, previous values, types and constraints."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pipeline.stacks.template import JSON, PREVIOUS_VALUE, Template, TemplateError, pseudo_parameters
from tests.unit.stacks.template.good import GOOD, PSEUDO, evaluated, value_of


def declared(type_: str, *constraints: str) -> str:
    """Return a section with a parameter P."""
    return "\n".join(["Parameters:", "  P:", f"    Type: {type_}", *(f"    {line}" for line in constraints)])


def test_a_given_value_replaces_the_default() -> None:
    """Values are text, as DescribeStacks prints them."""
    found = evaluated(GOOD, {"Port": 80, "Name": "web"})
    assert found.parameters == {"Environment": "test", "Port": "80", "Name": "web", "Subnets": "subnet-1, subnet-2"}


def test_the_previous_value_is_used_on_request() -> None:
    """`UsePreviousValue` takes the value of the stack, also if the default has changed. Without one it is missing."""
    found = evaluated(GOOD, {"Port": PREVIOUS_VALUE}, previous={"Port": "443", "Name": "old"})
    assert (found.parameters["Port"], found.parameters["Name"]) == ("443", "shop")
    with pytest.raises(TemplateError) as caught:
        evaluated(GOOD, {"Port": PREVIOUS_VALUE, "Name": PREVIOUS_VALUE})
    assert caught.value.reason == "Parameters: [Port, Name] must have values"


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("String", " a, b ", " a, b "),
        ("String", "", ""),
        ("Number", "080", "080"),
        ("Number", "-1.5e3", "-1.5e3"),
        ("CommaDelimitedList", "a, b,,c ", ["a", "b", "", "c"]),
        ("CommaDelimitedList", "", []),
        ("List<Number>", "1, 2.5", ["1", "2.5"]),
        ("List<String>", "a,b", ["a", "b"]),
        ("AWS::EC2::VPC::Id", "vpc-1", "vpc-1"),
        ("AWS::EC2::KeyPair::KeyName", "key", "key"),
        ("List<AWS::EC2::AvailabilityZone::Name>", "a,b", ["a", "b"]),
        ("AWS::SSM::Parameter::Name", "/a", "/a"),
    ],
)
def test_a_type_gives_text_or_a_list(type_: str, text: str, value: JSON) -> None:
    """Ref of a parameter is text, also of a number, or a list of texts without spaces around them."""
    assert value_of("!Ref P", declared(type_), {"P": text}) == value


@pytest.mark.parametrize(
    ("type_", "value"), [("String", "from /a/b"), ("List<String>", ["from /a/b"]), ("AWS::EC2::Image::Id", "from /a/b")]
)
def test_the_store_of_ssm_is_asked(type_: str, value: JSON) -> None:
    """A parameter may name one of SSM. Its constraints are for the name, and its value is told apart."""
    sections = declared(f"AWS::SSM::Parameter::Value<{type_}>", "Default: /a/b", "AllowedValues: [/a/b]")
    assert value_of("!Ref P", sections, ssm="from {}".format) == value
    found = evaluated(f"{sections}\nResources: {{A: {{Type: 'A::B::C'}}}}", ssm="from {}".format)
    assert (found.parameters, found.resolved) == ({"P": "/a/b"}, {"P": "from /a/b"})


@pytest.mark.parametrize(
    ("type_", "constraints", "value", "reason"),
    [
        ("Number", [], "", "must be a number"),
        ("Number", [], "1_0", "must be a number"),
        ("Number", [], "nan", "must be a number"),
        ("List<Number>", [], "1,x", "must be a number"),
        ("Number", ["MinValue: 0.5"], "0.4", "must be a number not less than 0.5"),
        ("List<Number>", ["MaxValue: '10'"], "1,11", "must be a number not greater than 10"),
        ("CommaDelimitedList", ["AllowedValues: [a, b]"], "a,c", "must be one of AllowedValues"),
        ("String", ["AllowedValues: [1, true]"], "True", "must be one of AllowedValues"),
        ("String", ["AllowedPattern: a|b"], "ab", "must match pattern a|b"),
        ("String", ["AllowedPattern: 'a$'"], "a\n", "must match pattern a$"),
        ("String", [r"AllowedPattern: '(?<x>\p{Lu})\d+'"], "ä1", r"must match pattern (?<x>\p{Lu})\d+"),
        ("String", ["AllowedPattern: '(?=.*[0-9])(?<word>[a-z0-9]+)'"], "abc", "must match pattern (?=.*[0-9])"),
        (
            "String",
            ["AllowedPattern: '(?=b)(a+)+b'"],
            "a" * 100,
            "must contain at most 23 characters, since its AllowedPattern may take too long",
        ),
    ],
)
def test_a_value_that_is_not_allowed(type_: str, constraints: Sequence[str], value: str, reason: str) -> None:
    """Constraints hold for each item of a list."""
    with pytest.raises(TemplateError) as caught:
        value_of("!Ref P", declared(type_, *constraints), {"P": value})
    assert caught.value.reason.startswith(f"Parameter 'P' {reason}")


@pytest.mark.parametrize(
    ("constraints", "value"),
    [
        (["AllowedValues: [1, true]"], "true"),
        (["AllowedPattern: ''"], ""),
        ([r"AllowedPattern: '(?<x>\p{Lu})\d+'"], "Ä1"),
        (["AllowedPattern: '(?=.*[0-9])(?<word>[a-z0-9]+)'"], "a1"),
        (["AllowedPattern: '^$|(arn:aws:acm:)([a-z0-9/:-])*([a-z0-9])$'"], "arn:aws:acm:" + "a" * 4000),
        (["AllowedPattern: '(a+)+b'"], "a" * 4000 + "b"),
        ([r"AllowedPattern: '^[^\s@]+@[\w-\.]+\.[\w-]+$'"], "me@mail.example-1.com"),
        ([r"AllowedPattern: '[\\w-]+'"], "\\w-"),
        (["MinLength: 0", "MaxLength: 3"], "äöü"),
    ],
)
def test_a_value_that_is_allowed(constraints: Sequence[str], value: str) -> None:
    """Any expression without look-around takes time in proportion to the value's length."""
    assert value_of("!Ref P", declared("String", *constraints), {"P": value}) == value


class Network:
    """A VPC with two subnets, and one of another VPC."""

    def all(self, type_: str) -> Sequence[str] | None:
        return {"AWS::EC2::Subnet::Id": ["a", "b", "c"], "AWS::EC2::VPC::Id": ["v"]}.get(type_)

    def attribute(self, type_: str, value: str, attribute: str) -> str:
        return {("AWS::EC2::Subnet::Id", "VpcId"): {"a": "v", "b": "v", "c": "w"}}[type_, attribute][value]


SUBNETS = """\
Parameters:
  Subnets: {Type: List<AWS::EC2::Subnet::Id>}
  Subnet: {Type: AWS::EC2::Subnet::Id, Default: a}
  Vpc: {Type: AWS::EC2::VPC::Id, Default: v}
  Image: {Type: AWS::EC2::Image::Id, Default: anything}
"""


def ruled(assertion: str, subnets: str, network: Network | None = None) -> None:
    """Evaluate a template with a rule."""
    rule = f"Rules: {{Vpc: {{Assertions: [{{Assert: {assertion}, AssertDescription: one VPC}}]}}}}"
    evaluated(
        f"{SUBNETS}{rule}\nResources: {{A: {{Type: 'A::B::C'}}}}", {"Subnets": subnets}, existing=network or Network()
    )


@pytest.mark.parametrize(
    ("assertion", "holds", "fails"),
    [
        ("!EachMemberEquals [!ValueOf [Subnets, VpcId], !Ref Vpc]", "a,b", "a,c"),
        ("!EachMemberEquals [!ValueOf [Subnets, VpcId], !ValueOf [Subnet, VpcId]]", "a,b", "a,c"),
        ("!EachMemberIn [!Ref Subnets, [a, b]]", "a,b", "b,c"),
        ("!EachMemberIn [!Ref Subnets, !Ref Subnets]", "a,b", ""),
        ("!Contains [!Ref Subnets, !Ref Subnet]", "b,a", "b,c"),
        ("!Contains [!RefAll 'AWS::EC2::VPC::Id', v]", "a", ""),
        ("!Contains [!ValueOfAll ['AWS::EC2::Subnet::Id', VpcId], w]", "a", ""),
        ("!Not [!Contains [!ValueOf [Subnets, VpcId], w]]", "a,b", "c"),
        ("!And [!Contains [[a], a], !Or [!Contains [[b], a], !Contains [!Ref Subnets, b]]]", "b", "a"),
    ],
)
def test_an_assertion(assertion: str, holds: str, fails: str) -> None:
    """An assertion compares what exists. If it does not hold, its description is reported."""
    ruled(assertion, holds)
    if fails:
        with pytest.raises(TemplateError) as caught:
            ruled(assertion, fails)
        assert caught.value.reason == "Rule Vpc failed: one VPC"


@pytest.mark.parametrize(
    ("assertion", "reason"),
    [
        ("!Contains [!ValueOf [Subnets, Owner], w]", "Template error: a of parameter Subnets has no attribute Owner"),
        ("!Contains [!ValueOfAll ['AWS::EC2::VPC::Id', X], w]", "Template error: values of AWS::EC2::VPC::Id have no"),
        ("!Contains [!RefAll 'AWS::EC2::Image::Id', w]", "Template error: the values of AWS::EC2::Image::Id are not"),
        ("!Contains [!RefAll [a], w]", "Template error: every Fn::RefAll object must have a parameter type"),
        ("!Contains [!ValueOf [Subnets], w]", "Template error: every Fn::ValueOf object requires two parameters"),
        ("!Contains [!ValueOf [Subnets, [a]], w]", "Template error: every Fn::ValueOf object requires two parameters"),
        ("!Contains [!ValueOfAll [[a], b], w]", "Template error: every Fn::ValueOfAll object requires two parameters"),
        ("!Contains [!ValueOf [Nets, VpcId], w]", "Template format error: Unresolved dependencies [Nets]. Cannot"),
        ("!Contains [a, b]", "Template error: every Fn::Contains object requires two parameters, (1) a list"),
        ("!Contains [[a], [b]]", "Template error: every Fn::Contains object requires two parameters, (1) a list"),
        ("!Contains [[a], !Ref Subnets]", "Template error: every Fn::Contains object requires two parameters"),
        ("!EachMemberIn [[a], b]", "Template error: every Fn::EachMemberIn object requires two parameters"),
        ("!ValueOf [Subnets, VpcId]", "Template format error: Every Assert member of Rules must be a boolean"),
    ],
)
def test_an_assertion_with_a_mistake(assertion: str, reason: str) -> None:
    """A mistake in a rule is reported."""
    with pytest.raises(TemplateError) as caught:
        ruled(assertion, "a,b")
    assert caught.value.reason.startswith(reason)


def test_rules_without_a_network() -> None:
    """Without knowledge of what exists, a rule about it is refused, and values are not checked."""
    text = f"{SUBNETS}Resources: {{A: {{Type: 'A::B::C'}}}}"
    assert evaluated(text, {"Subnets": "anything"}).parameters["Subnets"] == "anything"
    rule = "Rules: {R: {Assertions: [{Assert: !Contains [!RefAll 'AWS::EC2::VPC::Id', v]}]}}"
    with pytest.raises(TemplateError) as caught:
        evaluated(f"{rule}\n{text}", {"Subnets": "a"})
    assert caught.value.reason == "Template error: Fn::RefAll is not supported here"


def test_a_value_that_does_not_exist() -> None:
    """A value of a type of AWS has to exist, each item of a list too."""
    with pytest.raises(TemplateError) as caught:
        ruled("!Contains [[a], a]", "a,d")
    assert caught.value.reason == (
        "Parameter validation failed: parameter value d for parameter name Subnets does not exist"
    )


def test_a_rule_whose_assertion_says_nothing() -> None:
    """A rule without a description is reported by its name."""
    text = GOOD.replace("\n        AssertDescription: production listens on 80 or 443", "")
    with pytest.raises(TemplateError) as caught:
        evaluated(text, {"Environment": "prod"})
    assert caught.value.reason == "Rule Ports failed"


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("R: x", "Template format error: Any Rules member must be an object."),
        ("R: {Assertions: [x]}", "Template format error: Every Assertions member must contain an Assert member."),
        (
            "R: {Assertions: [{Assert: !Equals [a, a], AssertDescription: [x]}]}",
            "Template format error: Every AssertDescription member must be a string.",
        ),
        (
            "R: {Assertions: [{Assert: !Equals [a, a], AssetDescription: x}], Notes: x}",
            "Invalid template rule property 'Notes'",
        ),
        ("R: {Asserts: []}", "Invalid template rule property 'Asserts'"),
        (
            "R: {RuleCondition: x, Assertions: [{Assert: !Equals [a, a]}]}",
            "Template format error: Every RuleCondition member of Rules must be a boolean operation on parameters",
        ),
    ],
)
def test_a_malformed_rule(rule: str, reason: str) -> None:
    """A rule of another shape is refused."""
    with pytest.raises(TemplateError) as caught:
        Template.parse(f"Rules: {{{rule}}}\nResources: {{A: {{Type: 'A::B::C'}}}}")
    assert caught.value.reason == reason


def test_secret_values_are_named() -> None:
    """Parameters with NoEcho are named, so that their values are never printed."""
    text = GOOD.replace("  Name:\n", "  Name:\n    NoEcho: true\n")
    found = Template.parse(text).evaluate({}, PSEUDO, {}, [])
    assert found.no_echo == {"Name"}


@pytest.mark.parametrize(
    ("region", "partition", "suffix"),
    [
        ("eu-west-1", "aws", "amazonaws.com"),
        ("cn-north-1", "aws-cn", "amazonaws.com.cn"),
        ("us-gov-west-1", "aws-us-gov", "amazonaws.com"),
    ],
)
def test_the_pseudo_parameters_follow_the_region(region: str, partition: str, suffix: str) -> None:
    """Partition and URL suffix are those of the region."""
    found = pseudo_parameters(account="1", region=region, stack_name="s", stack_id="arn")
    assert (found["AWS::Partition"], found["AWS::URLSuffix"]) == (partition, suffix)

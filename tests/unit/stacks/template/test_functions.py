"""The functions of templates, each with what CloudFormation makes of it."""

from __future__ import annotations

import pytest

from pipeline.stacks.template import JSON, TemplateError
from tests.unit.stacks.template.good import value_of

SECTIONS = """\
Parameters:
  Word: {Type: String, Default: shop}
  Number: {Type: Number, Default: 3}
  List: {Type: CommaDelimitedList, Default: "a, b ,c"}
  Ports: {Type: List<Number>, Default: "80,443"}
  Empty: {Type: CommaDelimitedList, Default: ""}
Mappings:
  Sizes:
    eu-west-1: {Count: 3, Zones: [a, b]}
    us.east_1: {Count: 5}
Conditions:
  Right: !Equals [1, "1"]
  Wrong: !Equals [true, "True"]
"""

VALUES: list[tuple[str, JSON]] = [
    ("!Ref Word", "shop"),
    ("!Ref Number", "3"),
    ("!Ref List", ["a", "b", "c"]),
    ("!Ref Ports", ["80", "443"]),
    ("!Ref Empty", []),
    ("!Ref Other", "Other"),
    ("!Ref AWS::Region", "eu-west-1"),
    ("!Ref 'AWS::AccountId'", "000000000000"),
    ("!Ref AWS::Partition", "aws"),
    ("!Ref AWS::URLSuffix", "amazonaws.com"),
    ("!Ref AWS::NotificationARNs", ["arn:aws:sns:eu-west-1:000000000000:topic"]),
    ("!Ref AWS::NoValue", "left out"),
    ("[a, !Ref AWS::NoValue, c]", ["a", "c"]),
    ("{a: !Ref AWS::NoValue, b: 1}", {"b": 1}),
    ("!GetAtt Other.Arn", "Other.Arn"),
    ("!GetAtt Other.Outputs.Url", "Other.Outputs.Url"),
    ("!GetAtt [Other, Outputs.Url]", "Other.Outputs.Url"),
    ("!GetAtt [Other, Outputs, Url]", "Other.Outputs.Url"),
    ("{'Fn::GetAtt': Other.Arn}", "Other.Arn"),
    ("!GetAtt [Other, !Ref Word]", "Other.shop"),
    ('!Sub "${Word}-${AWS::Region}"', "shop-eu-west-1"),
    ('!Sub "${Other}/${Other.Arn}"', "Other/Other.Arn"),
    ('!Sub "${!Word} $Word $${Word} ${ Word } ${"', "${Word} $Word $shop shop ${"),
    ('!Sub ["${Word} ${Own}", {Own: !Join ["", [x, 1, true]], Word: over}]', "over x1true"),
    ('!Sub ["${Own}", {Own: !Sub "${Number}"}]', "3"),
    ('!Sub ""', ""),
    ('!Join [", ", !Ref List]', "a, b, c"),
    ('!Join ["", [a, 1, 2.5, true, !Ref AWS::NoValue, !Ref Word]]', "a12.5trueshop"),
    ('!Join [",", !Ref Empty]', ""),
    ("!Join ['-', !Split ['/', 'a/b//c']]", "a-b--c"),
    ("!Split ['|', 'a|b|']", ["a", "b", ""]),
    ("!Split ['::', !Sub 'a::${Word}']", ["a", "shop"]),
    ("!Select [0, [a, b]]", "a"),
    ("!Select ['1', !Ref List]", "b"),
    ("!Select [!FindInMap [Sizes, eu-west-1, Count], [a, b, c, {d: e}]]", {"d": "e"}),
    ("!Select [1, !Split ['/', !Ref Other, ]]", "error"),
    ("!Select [0, [!Ref AWS::NoValue, b]]", "b"),
    ("!FindInMap [Sizes, !Ref AWS::Region, Count]", 3),
    ("!FindInMap [Sizes, us.east_1, Count]", 5),
    ("!FindInMap [Sizes, eu-west-1, Zones]", ["a", "b"]),
    ("!Base64 shop", "c2hvcA=="),
    ("{'Fn::Base64': !Sub '${Word} ü'}", "c2hvcCDDvA=="),
    ("!GetAZs ''", ["local-a", "local-b"]),
    ("!GetAZs", ["local-a", "local-b"]),
    ("{'Fn::GetAZs': null}", ["local-a", "local-b"]),
    ("!GetAZs us-east-1", ["local-a", "local-b"]),
    ("!GetAZs {Ref: AWS::Region}", ["local-a", "local-b"]),
    ("!Select [1, !GetAZs '']", "local-b"),
    ("!ImportValue 'net:Vpc'", "vpc-1"),
    ("{'Fn::ImportValue': !Sub ['${N}:Vpc', {N: net}]}", "vpc-1"),
    ("!If [Right, a, b]", "a"),
    ("!If [Wrong, !Ref AWS::NoValue, [1, {x: !Ref Word}]]", [1, {"x": "shop"}]),
    ("!If [Wrong, a, !Ref AWS::NoValue]", "left out"),
    ("!Cidr [192.168.0.0/24, 3, 5]", ["192.168.0.0/27", "192.168.0.32/27", "192.168.0.64/27"]),
    ("!Cidr [10.0.7.9/16, '2', '8']", ["10.0.0.0/24", "10.0.1.0/24"]),
    ("!Cidr [10.0.0.0/16, 1]", ["10.0.0.0/24"]),
    ("!Cidr ['2600:1f18::/56', 2, 64]", ["2600:1f18::/64", "2600:1f18:0:1::/64"]),
    # Only an object with the one key Ref is a function, and Condition is a key as any other.
    ("{Ref: Word, Other: 1}", {"Ref": "Word", "Other": 1}),
    ("{Condition: {StringEquals: {a: b}}}", {"Condition": {"StringEquals": {"a": "b"}}}),
]


@pytest.mark.parametrize(("expression", "value"), VALUES)
def test_a_function_has_its_value(expression: str, value: JSON) -> None:
    """A function in a property has the value that CloudFormation gives it."""
    if value == "error":
        with pytest.raises(TemplateError, match="Fn::Select cannot select nonexistent value at index 1"):
            value_of(expression, SECTIONS)
    else:
        assert value_of(expression, SECTIONS) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("!Length [a, !Ref Word]", 2),
        ("!Length {Ref: List}", 3),
        ("!ToJsonString {a: [1, true, !Ref Word]}", '{"a":[1,true,"shop"]}'),
        ("!ToJsonString [!Ref Other]", '["Other"]'),
        ("!FindInMap [Sizes, nowhere, Count, {DefaultValue: 1}]", 1),
        ("!FindInMap [Sizes, eu-west-1, Count, {DefaultValue: 1}]", 3),
        ("!FindInMap [Nothing, a, b, {DefaultValue: !Ref AWS::NoValue}]", "left out"),
        ("!FindInMap [Sizes, !Sub '${AWS::Region}', !Select [0, [Count]]]", 3),
        ("!Ref {'Fn::Sub': '${X}r'}", "error"),
        ("{Ref: !Join ['', [Ot, her]]}", "Other"),
        ("{Ref: !Sub 'Wo${AWS::NoValue}rd'}", "error"),
        ("{'Fn::GetAtt': [!Sub Other, !Join ['', [A, rn]]]}", "Other.Arn"),
    ],
)
def test_a_function_of_the_language_extensions(expression: str, value: JSON) -> None:
    """With `Transform: AWS::LanguageExtensions`, its functions and forms are there."""
    sections = f"Transform: AWS::LanguageExtensions\n{SECTIONS}"
    if value == "error":
        with pytest.raises(TemplateError):
            value_of(expression, sections)
    else:
        assert value_of(expression, sections) == value


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("{Ref: !Sub Nothing}", "Template format error: Unresolved resource dependencies [Nothing] in the Resources"),
        ("!Length a", "Template error: every Fn::Length object requires a list"),
        ("!Length {Ref: Word}", "Template error: every Fn::Length object requires a list"),
        ("!ToJsonString a", "Template error: every Fn::ToJsonString object must have an object or a list."),
        ("!ToJsonString {Ref: Word}", "Template error: every Fn::ToJsonString object must have an object or a list."),
        ("!FindInMap [Sizes, a, b, 1]", "Template error: every Fn::FindInMap object requires three parameters"),
        ("!FindInMap [!Ref Word, a, b]", "Template error: Mapping named 'shop' is not present in the 'Mappings'"),
        ("!FindInMap [Sizes, !Ref List, b]", "Template error: every Fn::FindInMap object requires three parameters"),
        ("!GetAtt [Other, !Ref List]", "Template error: every Fn::GetAtt object requires two non-empty parameters"),
        ("!GetAtt [Other, [a]]", "Template error: every Fn::GetAtt object requires two non-empty parameters"),
        ("!GetAtt [[Other], a]", "Template error: every Fn::GetAtt object requires two non-empty parameters"),
        ("!Base64 {Ref: List}", "Template error: every Fn::Base64 object must have a String-typed value."),
        ("!Join [',', {a: b}]", "Template error: every Fn::Join object requires two parameters"),
        ("!Split [',', !Ref List]", "Template error: every Fn::Split object requires two parameters"),
        ("!Select [!Ref Word, [a]]", "Template error: Fn::Select requires a list argument with two elements"),
        ("!Cidr [10.0.0.0/16, [1]]", "Template error: every Fn::Cidr object requires two or three parameters"),
        ("!Cidr [10.0.0.0/16, 300, 4]", "Template error: every Fn::Cidr object requires two or three parameters"),
        ("!GetAZs {Ref: List}", "Template error: every Fn::GetAZs object must have a String-typed value."),
        ("!ImportValue [a]", "Template error: every Fn::ImportValue object must have a String-typed value."),
        ("!ImportValue {Ref: List}", "Template error: every Fn::ImportValue object must have a String-typed value."),
        ("!GetStackOutput {StackName: a, OutputName: b}", "Template error: Fn::GetStackOutput is not supported"),
    ],
)
def test_a_function_with_a_wrong_argument(expression: str, reason: str) -> None:
    """An argument of the wrong kind is refused, also if only its value shows it."""
    with pytest.raises(TemplateError) as caught:
        value_of(expression, f"Transform: AWS::LanguageExtensions\n{SECTIONS}")
    assert caught.value.reason.startswith(reason)


CONDITIONS = [
    ("!And [!Condition Right, !Not [!Condition Wrong]]", True),
    ("!And [!Condition Right, !Condition Wrong]", False),
    ("!Or [!Condition Wrong, !Equals [!Ref Word, shop]]", True),
    ("!Or [!Condition Wrong, !Condition Wrong]", False),
    ("!Equals [!FindInMap [Sizes, !Ref AWS::Region, Count], 3]", True),
    ("!Equals [!Join ['', !Ref Empty], '']", True),
    ("!Equals [!Select [1, !Ref List], !Sub b]", True),
    ("!Equals [!Select [0, !Split [h, !Ref Word]], s]", True),
    ("!Equals [yes, 'true']", True),
    ("!Equals [Shop, shop]", False),
    ("{'Fn::Not': [{Condition: Later}]}", False),
]


@pytest.mark.parametrize(("condition", "holds"), CONDITIONS)
def test_a_condition(condition: str, holds: bool) -> None:
    """A condition compares texts, and may use others that are declared later."""
    sections = f"{SECTIONS}  Tried: {condition}\n  Later: !Equals [a, a]\n"
    assert value_of("!If [Tried, 1, 2]", sections) == (1 if holds else 2)

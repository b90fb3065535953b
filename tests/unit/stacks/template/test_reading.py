"""Templates are read as CloudFormation reads them, in YAML 1.1 and in JSON."""

from __future__ import annotations

import json

import pytest

from pipeline.stacks.template import JSON, Template, TemplateError
from tests.unit.stacks.template.good import GOOD, evaluated, value_of

SCALARS: list[tuple[str, JSON]] = [
    ("text", "text"),
    ("80", 80),
    ("'80'", "80"),
    ("1.0", 1.0),
    ("true", True),
    ("Yes", True),
    ("off", False),
    ("'no'", "no"),
    ("y", "y"),
    ("N", "N"),
    ("017", 15),
    ("0x1F", 31),
    ("0b11", 3),
    ("-012", -10),
    ("1_000", 1000),
    ("089", "089"),
    ("0o17", "0o17"),
    ("012345678901", "012345678901"),
    ("8080:80", "8080:80"),
    ("22:22", 1342),
    ("-1:30.5", -90.5),
    ("1e3", 1000.0),
    ("1.5e+3", 1500.0),
    (".inf", ".inf"),
    ("-.NaN", "-.NaN"),
    ("1.0e+999", "1.0e+999"),
    ("2012-10-17", "2012-10-17"),
    ("2001-12-14t21:59:43.10-05:00", "2001-12-14t21:59:43.10-05:00"),
    ("=", "="),
    ("!!str 80", "80"),
    ("|\n        two\n        lines", "two\nlines\n"),
    (">-\n        one\n        line", "one line"),
    ('"\\u00fc"', "ü"),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_a_scalar_of_yaml(text: str, value: JSON) -> None:
    """Plain scalars are those of YAML 1.1, as SnakeYAML reads them: y and n are text, dates too."""
    found = value_of(text)
    assert (found, type(found)) == (value, type(value))


def test_keys_are_text() -> None:
    """A key that is a boolean becomes text, and a date stays text."""
    assert value_of("{on: 1, n: 2, 2012-10-17: 3}") == {"true": 1, "n": 2, "2012-10-17": 3}


def test_json_and_yaml_mean_the_same() -> None:
    """The template as JSON evaluates to the same resources."""
    body = json.dumps(Template.parse(GOOD).body, indent=1)
    assert evaluated(body).resources["Web"].properties == evaluated(GOOD).resources["Web"].properties
    assert Template.parse(body).body == Template.parse(GOOD).body


def test_json_may_have_what_yaml_may_not() -> None:
    """JSON with tabs, escapes and keys of any length is read, after a byte order mark too."""
    key = "k" * 2000
    properties = f'{{"{key}": "a\\/\\ud83d\\ude00\\t"}}'
    text = f'\ufeff\n{{\t"Resources": {{"A": {{"Type": "A::B::C",\n\t"Properties": {properties}}}}}}}'
    assert evaluated(text).resolve("A", lambda *_: None) == {key: "a/\U0001f600\t"}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "t.yaml:1:1: Template format error: unsupported structure."),
        ("# a comment\n", "t.yaml:1:1: Template format error: unsupported structure."),
        ("file://template.yaml", "t.yaml:1:1: Template format error: unsupported structure."),
        ("- Resources\n", "t.yaml:1:1: Template format error: unsupported structure."),
        ("!Sub {a: b}\n", "t.yaml:1:1: Template format error: unsupported structure."),
        ("[1]", "t.yaml:1:1: Template format error: unsupported structure."),
        (
            '{"Resources": {}',
            "t.yaml:1:17: Template format error: JSON not well-formed. (line 1, column 17) (Expecting ',' delimiter)",
        ),
        (
            '{\n "Resources": {"A": 1e999}}',
            "t.yaml:1:1: Template format error: JSON not well-formed. (line 1, column 1) (1e999 is too large)",
        ),
        (
            '{"Resources": NaN}',
            "t.yaml:1:1: Template format error: JSON not well-formed. (line 1, column 1) (NaN is not JSON)",
        ),
        (
            '{"Resources": {"A": {"Type": "A::B::C",\n "Properties": {"L": [1, {"Fn::Sub": "${!a} ${-}"}]}}}}',
            "t.yaml:2:27: Resources.A.Properties.L[1].Fn::Sub: Template error: variable names in Fn::Sub syntax must "
            "contain only alphanumeric characters, underscores, periods, and colons (${-}: write ${!NAME} for a "
            "literal ${NAME})",
        ),
        (
            '{"Resources": {"A": {"Type": "A::B::C", "Properties": {"L": "\\ud800"}}}}',
            "t.yaml:1:56: Resources.A.Properties.L: Template format error: text must be valid Unicode",
        ),
        (
            '{"Resources": {"A": null}}',
            "t.yaml:1:16: Resources.A: [/Resources/A] 'null' values are not allowed in templates",
        ),
        (
            '{"Resources": {"A": ' + "[" * 101 + "]" * 101 + "}}",
            "t.yaml:1:119: Resources.A[0]: Template format error: nested deeper than 100 levels",
        ),
        ('{"A":' + "[" * 10**5, "t.yaml: Template format error: nested deeper than 100 levels"),
        ("A: " + "[" * 600, "t.yaml: Template format error: nested deeper than 100 levels"),
        (
            "A: " + "[" * 120 + "]" * 120,
            "t.yaml:1:104: A[0][0]: Template format error: nested deeper than 100 levels",
        ),
        (
            "A: \x07",
            "t.yaml:1:4: Template format error: YAML not well-formed. (line 1, column 4) "
            "(unprintable character '\\x07')",
        ),
        ("A: 'x\n", "t.yaml:2:1: Template format error: YAML not well-formed. (line 2, column 1) "),
        (
            "A: *b\n",
            "t.yaml:1:4: Template format error: YAML not well-formed. (line 1, column 4) (found undefined alias 'b')",
        ),
        ("&a A: 1\n*a : 2\n", "t.yaml:2:1: Template error: YAML aliases are not allowed in CloudFormation templates"),
        ("!Sub A: 1\n", "t.yaml:1:1: Template format error: YAML not well-formed. (line 1, column 1) (unsupported tag"),
        ("A: &a [*a]\n", "t.yaml:1:8: Template error: YAML aliases are not allowed in CloudFormation templates"),
        ("A: !!int x\n", "t.yaml:1:4: A: Template format error: unsupported value 'x'"),
        (f"A: {'9' * 500}\n", "t.yaml:1:4: A: Template format error: unsupported value '" + "9" * 40),
        ("A: '" + "x" * 10**6 + "'", "t.yaml: Template may not exceed 1000000 bytes in size."),
        ("A: '" + "ü" * 500_000 + "'", "t.yaml: Template may not exceed 1000000 bytes in size."),
    ],
)
def test_a_text_that_is_no_template(text: str, error: str) -> None:
    """A text that cannot be read is refused, with the place of the mistake."""
    with pytest.raises(TemplateError) as caught:
        evaluated(text)
    assert caught.value.message.startswith(error)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (GOOD.replace("Port: 80\n", "Port: 80\n      Port: 81\n"), "t.yaml:51:7: Resources.Listener.Properties.Port"),
        ('{"Resources": {"A": {"Type": "A::B::C"},\n "A": {"Type": "D::E::F"}}}', "t.yaml:2:2: Resources.A"),
    ],
)
def test_of_equal_keys_the_last_one_counts(text: str, warning: str) -> None:
    """A key that is there twice is a warning, since CloudFormation takes the last value."""
    template = Template.parse(text, "t.yaml")
    assert template.warnings == (f"{warning}: duplicate key, the last one counts",)
    resources = evaluated(text).resources
    assert (
        "81" in str(resources["Listener"].properties) if "Listener" in resources else resources["A"].type == "D::E::F"
    )


def test_short_tags_are_functions() -> None:
    """The body of a template has the full form of each function."""
    properties = "{P: !GetAtt B.B.C, Q: !Or [!Condition X], R: !GetAZs ''}"
    text = f"Resources: {{A: {{Type: 'A::B::C', Properties: {properties}}}, B: {{Type: 'A::B::C'}}}}"
    with pytest.raises(TemplateError, match="partially collapsed"):
        Template.parse(text)
    body = Template.parse(text.replace("!Or", "")).body
    assert body["Resources"] == {
        "A": {
            "Type": "A::B::C",
            "Properties": {
                "P": {"Fn::GetAtt": ["B", "B.C"]},
                "Q": [{"Condition": "X"}],
                "R": {"Fn::GetAZs": ""},
            },
        },
        "B": {"Type": "A::B::C"},
    }

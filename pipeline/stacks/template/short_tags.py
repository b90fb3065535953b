"""YAML's short forms of functions, such as `!Sub`."""

from __future__ import annotations

from pipeline.stacks.template.values import JSON

_NAMES = (
    "And",
    "Base64",
    "Cidr",
    "Contains",
    "EachMemberEquals",
    "EachMemberIn",
    "Equals",
    "FindInMap",
    "GetAZs",
    "GetAtt",
    "GetStackOutput",
    "If",
    "ImportValue",
    "Join",
    "Length",
    "Not",
    "Or",
    "RefAll",
    "Select",
    "Split",
    "Sub",
    "ToJsonString",
    "Transform",
    "ValueOf",
    "ValueOfAll",
)
FUNCTIONS = {f"!{name}": f"Fn::{name}" for name in _NAMES} | {"!Ref": "Ref", "!Condition": "Condition"}
"""The name of the function for each tag."""


def argument(name: str, value: JSON) -> JSON:
    """Return the argument of a function as its full form has it: `!GetAtt Web.Arn` has a list."""
    if name == "Fn::GetAtt" and isinstance(value, str) and "." in value:
        return [*value.split(".", 1)]
    return value

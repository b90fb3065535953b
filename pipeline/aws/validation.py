"""The constraints of a service model: required members, enums, lengths, ranges and patterns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.model import Shape, StructureShape

_NUMBERS = ("integer", "long", "float", "double")
# What Java's patterns have and Python's have not. `\w` has the underscore too, which all of these patterns allow.
_JAVA = {
    r"\p{L}": r"\w",
    r"\p{N}": r"\w",
    r"\p{Z}": "\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000",
    r"\uD800\uDC00-\uDBFF\uDFFF": "\U00010000-\U0010ffff",
}


def violations(shape: StructureShape, parameters: Mapping[str, Any]) -> list[str]:
    """Return a sentence in AWS's words for each constraint that an input breaks. The types are those of the shape."""
    return list(_structure(shape, parameters, ""))


def _structure(shape: StructureShape, value: Mapping[str, Any], path: str) -> Iterator[str]:
    for member in shape.required_members:
        if member not in value:
            yield _sentence("null", f"{path}{_lower(member)}", "Member must not be null")
    for member, each in value.items():
        yield from _value(shape.members[member], each, f"{path}{_lower(member)}")


def _value(shape: Shape, value: Any, path: str) -> Iterator[str]:
    for rule in _broken_rules(shape, value):
        yield _sentence(_shown(value), path, rule)
    if shape.type_name == "structure":
        yield from _structure(shape, value, f"{path}.")
    elif shape.type_name == "list":
        for number, each in enumerate(value, 1):
            yield from _value(shape.member, each, f"{path}.{number}.member")
    elif shape.type_name == "map":
        for key, each in value.items():
            yield from _value(shape.key, key, f"{path}.{key}.key")
            yield from _value(shape.value, each, f"{path}.{key}.member")


def _broken_rules(shape: Shape, value: Any) -> Iterator[str]:
    rules = shape.metadata
    if rules.get("enum") and value not in rules["enum"]:
        yield f"Member must satisfy enum value set: [{', '.join(rules['enum'])}]"
    measured, noun = (value, "value") if shape.type_name in _NUMBERS else (_length(value), "length")
    if measured is not None and "min" in rules and measured < rules["min"]:
        yield f"Member must have {noun} greater than or equal to {rules['min']}"
    if measured is not None and "max" in rules and measured > rules["max"]:
        yield f"Member must have {noun} less than or equal to {rules['max']}"
    if "pattern" in rules and isinstance(value, str) and not _matches(rules["pattern"], value):
        yield f"Member must satisfy regular expression pattern: {rules['pattern']}"


def _length(value: Any) -> int | None:
    return len(value) if isinstance(value, str | bytes | Sequence | Mapping) else None


def _matches(pattern: str, text: str) -> bool:
    compiled = _compiled(pattern)
    return compiled is None or compiled.fullmatch(text) is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """Return the pattern for Python. None if Python cannot express it: the operation has to check such a value."""
    for java, python in _JAVA.items():
        pattern = pattern.replace(java, python)
    try:
        return re.compile(pattern)
    except re.error:
        return None


def _sentence(value: str, path: str, rule: str) -> str:
    return f"Value {value} at '{path}' failed to satisfy constraint: {rule}"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"'[{', '.join(map(_plain, value))}]'"
    return f"'{_plain(value)}'"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value.isoformat() if isinstance(value, datetime) else value)


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]

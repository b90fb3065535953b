"""Plain JSON values, what functions return, and paths in a template."""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
Path: TypeAlias = tuple[str | int, ...]


class Absent(Enum):
    """Results of functions that are no JSON."""

    NO_VALUE = "AWS::NoValue"
    UNKNOWN = "known after apply"


Value: TypeAlias = "Absent | bool | int | float | str | list[Value] | dict[str, Value] | None"
"""The result of a function. `UNKNOWN` may be anywhere in it, `NO_VALUE` only at the top."""


def dotted(path: Path) -> str:
    """Return a path as text, such as `Resources.Web.Properties.Tags[0].Value`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def slashed(path: Path) -> str:
    """Return a path as AWS prints it, such as `/Resources/Web/Properties`."""
    return "".join(f"/{part}" for part in path)


def scalar_text(value: object) -> str | None:
    """Return text, a number or a boolean as CloudFormation writes it into text. None for other values."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def has_unknown(value: Value) -> bool:
    """Return whether `UNKNOWN` is in a value."""
    if isinstance(value, list):
        return any(map(has_unknown, value))
    if isinstance(value, dict):
        return any(map(has_unknown, value.values()))
    return value is Absent.UNKNOWN

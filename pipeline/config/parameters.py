"""Parameters: values from the command line or the defaults, checked against types and ranges."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipeline.base.errors import Problem
from pipeline.base.suggestion import did_you_mean
from pipeline.config.document import Document
from pipeline.config.models import Parameter

Scalar = str | int | float | bool


def resolve_parameters(
    document: Document, declared: Mapping[str, Parameter], overrides: Mapping[str, str]
) -> tuple[dict[str, Scalar], list[Problem]]:
    """Return the value of every valid parameter, and a problem for each of the others."""
    values: dict[str, Scalar] = {}
    problems = [
        Problem(0, 0, f"-p {name}={text}", "unknown parameter", did_you_mean(name, declared))
        for name, text in overrides.items()
        if name not in declared
    ]
    for name, parameter in declared.items():
        if name in overrides:
            given: Any = _read(overrides[name], parameter.type)
            reason = _violation(given, parameter, overrides[name])
            problem = Problem(0, 0, f"-p {name}={overrides[name]}", reason)
        elif parameter.default is not None:
            given = _read(parameter.default, parameter.type)
            reason = _violation(given, parameter, parameter.default)
            problem = document.problem(("parameters", name, "default"), reason)
        else:
            reason = "is required, since it has no default"
            problem = document.problem(("parameters", name), reason, f"set it with -p {name}=…", at_key=True)
        if reason:
            problems.append(problem)
        else:
            values[name] = given
    return values, problems


def _read(value: Scalar, kind: str) -> Scalar | None:
    """Return the value in the parameter's type, or None if it does not have that type."""
    if kind == "string":
        return value if isinstance(value, str) else None
    if kind == "boolean":
        return value if isinstance(value, bool) else {"true": True, "false": False}.get(str(value))
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    if kind == "integer":
        return int(number) if number.is_integer() else None
    return number


def _violation(value: Scalar | None, parameter: Parameter, given: Scalar) -> str:
    """Return the rule that `value` breaks, with the text that was given, or an empty text."""
    rule = _broken_rule(value, parameter)
    shown = str(given).lower() if isinstance(given, bool) else str(given)
    return f"{rule}, got {shown}" if rule else ""


def _broken_rule(value: Scalar | None, parameter: Parameter) -> str:
    wanted = {"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}
    if value is None:
        return f"must be {wanted[parameter.type]}"
    if isinstance(value, int | float):
        if parameter.minimum is not None and value < parameter.minimum:
            return f"must be at least {parameter.minimum:g}"
        if parameter.maximum is not None and value > parameter.maximum:
            return f"must be at most {parameter.maximum:g}"
    if parameter.allowed_values is not None and value not in parameter.allowed_values:
        return f"must be one of {', '.join(map(str, parameter.allowed_values))}"
    if parameter.pattern is not None and not re.fullmatch(parameter.pattern, str(value)):
        return f"must match {parameter.pattern}"
    return ""

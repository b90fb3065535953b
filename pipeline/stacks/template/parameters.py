"""The values of all parameters, from those that are given, those of before, and the defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from pipeline.stacks.template.document import Document
from pipeline.stacks.template.error import TemplateError
from pipeline.stacks.template.parameter import Parameter
from pipeline.stacks.template.parameter_type import aws_type
from pipeline.stacks.template.scope import Existing

PREVIOUS_VALUE: Final = object()
"""Given in place of a parameter's value: `UsePreviousValue=true`."""


def chosen_values(
    document: Document,
    declared: Mapping[str, Parameter],
    given: Mapping[str, object],
    previous: Mapping[str, str],
) -> dict[str, str]:
    """Return the text for each declared parameter. Raises `TemplateError` for unknown and for missing ones."""
    unknown = [name for name in given if name not in declared]
    if unknown:
        raise TemplateError(f"Parameters: [{', '.join(unknown)}] do not exist in the template", source=document.source)
    values: dict[str, str] = {}
    missing: list[str] = []
    for name, parameter in declared.items():
        value = given.get(name, parameter.default)
        if value is PREVIOUS_VALUE:
            value = previous.get(name)
        if value is None:
            missing.append(name)
        else:
            values[name] = str(value)
    if missing:
        raise document.error(f"Parameters: [{', '.join(missing)}] must have values", ("Parameters", missing[0]))
    return values


def ssm_values(
    document: Document,
    declared: Mapping[str, Parameter],
    values: Mapping[str, str],
    ssm: Callable[[str], str],
) -> dict[str, str]:
    """Return the values of the parameters that name one of SSM. Raises `TemplateError` for those that do not exist."""
    resolved: dict[str, str] = {}
    missing: list[str] = []
    names = [name for name, parameter in declared.items() if parameter.is_ssm]
    for name in names:
        try:
            resolved[name] = ssm(values[name])
        except KeyError:
            missing.append(name)
    if missing:
        listed = ", ".join(values[name] for name in missing)
        reason = f"Unable to fetch parameters [{listed}] from parameter store for this account."
        raise document.error(reason, ("Parameters", missing[0]), "`aws ssm put-parameter` makes them")
    return resolved


def check_values(
    document: Document, declared: Mapping[str, Parameter], values: Mapping[str, str], existing: Existing | None
) -> None:
    """Raise `TemplateError` for a value that is not allowed, or that names what does not exist."""
    for name, parameter in declared.items():
        parameter.check(values[name])
        type_ = None if parameter.is_ssm else aws_type(parameter.type)
        known = None if existing is None or type_ is None else existing.all(type_)
        unknown = [] if known is None else [value for value in parameter.values(values[name]) if value not in known]
        if unknown:
            reason = f"parameter value {unknown[0]} for parameter name {name} does not exist"
            raise document.error(f"Parameter validation failed: {reason}", parameter.path)

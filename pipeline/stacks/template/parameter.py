"""A declared parameter, and the check of a value for it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.stacks.template.document import Document
from pipeline.stacks.template.error import TemplateError
from pipeline.stacks.template.parameter_type import SSM_PREFIX, is_list, is_number, is_valid, resolved_type
from pipeline.stacks.template.pattern import Pattern
from pipeline.stacks.template.section import check_description, check_keys, check_name
from pipeline.stacks.template.values import JSON, Path, scalar_text

_KEYS = frozenset(
    {
        "AllowedPattern",
        "AllowedValues",
        "ConstraintDescription",
        "Default",
        "Description",
        "MaxLength",
        "MaxValue",
        "MinLength",
        "MinValue",
        "NoEcho",
        "Type",
    }
)
_MAX_DESCRIPTION = 4000
_MAX_VALUE = 4096


@dataclass(frozen=True)
class Parameter:
    """A parameter as a template declares it. `default` is text, as all values are."""

    document: Document
    name: str
    type: str
    default: str | None
    no_echo: bool
    description: str
    allowed: tuple[str, ...] | None
    pattern: Pattern | None
    limits: dict[str, float]
    constraint: str

    @property
    def path(self) -> Path:
        """The path of the declaration."""
        return ("Parameters", self.name)

    @property
    def is_ssm(self) -> bool:
        """Whether the value names a parameter of SSM's parameter store, whose value is used."""
        return self.type.startswith(SSM_PREFIX)

    def values(self, text: str) -> list[str]:
        """Return the items of a value: one, or those of a list without the spaces around them."""
        if not is_list(resolved_type(self.type)):
            return [text]
        return [item.strip() for item in text.split(",")] if text.strip() else []

    def value(self, text: str) -> JSON:
        """Return a value as Ref does: text, or a list of texts."""
        values = self.values(text)
        return [*values] if is_list(resolved_type(self.type)) else text

    def check(self, text: str) -> None:
        """Raise `TemplateError` if a value is not allowed."""
        if len(text.encode(errors="replace")) > _MAX_VALUE:
            raise self._error(f"Parameter '{self.name}' must be at most {_MAX_VALUE} bytes long")
        for value in self.values(text):
            reason = self._problem(value)
            if reason is not None and self.constraint:
                raise self._error(f"Parameter '{self.name}' failed to satisfy constraint: {self.constraint}")
            if reason is not None:
                raise self._error(f"Parameter '{self.name}' {reason}")

    def _problem(self, value: str) -> str | None:
        if self.allowed is not None and value not in self.allowed:
            return "must be one of AllowedValues"
        if is_number(self.type):
            number = _number(value)
            if number is None:
                return "must be a number"
            if number < self.limits.get("MinValue", -math.inf):
                return f"must be a number not less than {self.limits['MinValue']:.15g}"
            if number > self.limits.get("MaxValue", math.inf):
                return f"must be a number not greater than {self.limits['MaxValue']:.15g}"
            return None
        if len(value) < self.limits.get("MinLength", 0):
            return f"must contain at least {self.limits['MinLength']:.0f} characters"
        if len(value) > self.limits.get("MaxLength", math.inf):
            return f"must contain at most {self.limits['MaxLength']:.0f} characters"
        return None if self.pattern is None else self.pattern.problem(value)

    def _error(self, reason: str) -> TemplateError:
        return self.document.error(reason, self.path)


def declared_parameter(document: Document, name: str, node: JSON) -> Parameter:
    """Return the parameter that a template declares. Raises `TemplateError`."""
    path: Path = ("Parameters", name)
    check_name(document, name, path, "Parameter name")
    if not isinstance(node, dict):
        raise document.error("Template format error: Any Parameters member must be an object.", path)
    if "Type" not in node:
        raise document.error("Template format error: Every Parameters object must contain a Type member.", path)
    check_keys(document, node, path, _KEYS, "parameter")
    type_ = node["Type"]
    if not isinstance(type_, str) or not is_valid(type_):
        raise document.error(f"Template format error: Unrecognized parameter type: {type_}", (*path, "Type"))
    texts = {key: _text(document, node, path, key) for key in ("Default", "ConstraintDescription", "AllowedPattern")}
    pattern = texts["AllowedPattern"]
    return Parameter(
        document=document,
        name=name,
        type=type_,
        default=texts["Default"],
        no_echo=_text(document, node, path, "NoEcho") in ("true", "True"),
        description=check_description(document, node.get("Description", ""), (*path, "Description"), _MAX_DESCRIPTION),
        allowed=_allowed(document, node, path),
        pattern=None if pattern is None else Pattern(document, pattern, (*path, "AllowedPattern")),
        limits=_limits(document, node, path),
        constraint=texts["ConstraintDescription"] or "",
    )


def _text(document: Document, node: dict[str, JSON], path: Path, key: str) -> str | None:
    if key not in node:
        return None
    text = scalar_text(node[key])
    if text is None:
        raise document.error(f"Template format error: Every {key} member must be a string.", (*path, key))
    return text


def _allowed(document: Document, node: dict[str, JSON], path: Path) -> tuple[str, ...] | None:
    if "AllowedValues" not in node:
        return None
    given = node["AllowedValues"]
    here = (*path, "AllowedValues")
    if not isinstance(given, list):
        raise document.error("Template format error: Every AllowedValues member must be a list.", here)
    texts = [scalar_text(item) for item in given]
    if None in texts:
        raise document.error("Template format error: Every AllowedValues value must be a string.", here)
    return tuple(text for text in texts if text is not None)


def _limits(document: Document, node: dict[str, JSON], path: Path) -> dict[str, float]:
    limits = {}
    for key in ("MinLength", "MaxLength", "MinValue", "MaxValue"):
        if (text := _text(document, node, path, key)) is not None:
            number = _number(text)
            if number is None:
                raise document.error(f"Template format error: Every {key} member must be a number.", (*path, key))
            limits[key] = number
    return limits


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None

"""Conversion of pydantic's errors into problems with a position in pipeline.yaml."""

from __future__ import annotations

import re
from datetime import timedelta
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import ErrorDetails

from pipeline.base.errors import FieldError, Problem
from pipeline.base.quantity import format_duration
from pipeline.base.schema import Shorthand
from pipeline.base.suggestion import did_you_mean, nearest
from pipeline.base.variants import Variants
from pipeline.config.document import Document, KeyPath

# Keys whose nearest name is not what was meant.
_HINTS: dict[KeyPath, str] = {
    ("services",): "write deploy.services; `pipeline import compose` translates a Compose file",
}
_PATTERNS = {
    r"^[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?$": "must be 1 to 32 letters, digits and inner dashes",
    r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$": "must be a host name: 1 to 63 lower-case letters, digits and inner dashes",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "must be a variable name: letters, digits and _, no digit first",
    r"^[^=\s\x00]+$": "must be the name of a variable, without = and without spaces",
    r"^/[!-~]*$": "must start with / and contain no space",
    r"^\d{1,3}(-\d{1,3})?(,\d{1,3}(-\d{1,3})?)*$": "must be status codes such as 200, 200,204 or 200-299",
    r"^[A-Za-z0-9._:\[\]-]{1,255}$": "must be a host name or an address, with or without a port",
    r"^[245]\d\d$": "must be a status code of 2XX, 4XX or 5XX",
    r"^(\d{1,5}|#\{port\})$": "must be a port or #{port}",
    r"^/": "must start with /",
    r"^https?://[!-~]+$": "must be a URL that starts with http:// or https://",
    r"^[ -~]*$": "must be printable ASCII",
    r"^[ -~]{1,1024}$": "must be printable ASCII, at most 1024 characters",
    r"^[A-Za-z0-9_-]{1,128}$": "must be a header name: letters, digits, - and _",
    r"^[A-Za-z0-9._~=:-]{1,128}$": "must be 1 to 128 letters, digits and characters of ._~=:-",
}
_TYPES = {
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "model_type": "must be a mapping of keys",
    "dict_type": "must be a mapping of keys",
    "tuple_type": "must be a list",
    "ip_v4_address": "must be an IP address such as 192.0.2.7 or 2001:db8::7",
    "ip_v6_address": "must be an IP address such as 192.0.2.7 or 2001:db8::7",
    "ip_v4_network": "must be a network such as 192.0.2.0/24 or 2001:db8::/64, without bits after the prefix",
    "ip_v6_network": "must be a network such as 192.0.2.0/24 or 2001:db8::/64, without bits after the prefix",
    "too_short": "must have at least one item",
    "string_too_short": "must not be empty",
}


def problems_of(error: ValidationError, document: Document, model: type[BaseModel]) -> list[Problem]:
    """Return one problem for each position at which pydantic found an error."""
    found: dict[KeyPath, Problem] = {}
    misspelt = set()
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and detail["input"]:
            continue  # Pydantic counts valid items only, so a list of invalid ones is reported as too short.
        path = _path(detail["loc"], document)
        found.setdefault(path, _problem(detail, path, document, model))
        if detail["type"] == "extra_forbidden" and (
            near := nearest(str(path[-1]), _fields(model, path[:-1], document))
        ):
            misspelt.add((*path[:-1], near))
    return [problem for path, problem in found.items() if path not in misspelt]


def _path(loc: tuple[str | int, ...], document: Document) -> KeyPath:
    """Return pydantic's location without the branches of unions, which are not in the file."""
    path: KeyPath = ()
    for position, part in enumerate(loc):
        here = (*path, part)
        if here in document.values or here in document.keys or position == len(loc) - 1:
            path = here
    parent = path[:-1]
    tail_is_a_branch = bool(path) and path not in document.values and _is_leaf(document, parent)
    return parent if tail_is_a_branch else path


def _is_leaf(document: Document, path: KeyPath) -> bool:
    value: Any = document.data
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return False
    return not isinstance(value, dict | list)


def _problem(detail: ErrorDetails, path: KeyPath, document: Document, model: type[BaseModel]) -> Problem:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "missing":
        return document.problem(path, "is missing", _description(model, path, document))
    if kind == "extra_forbidden":
        hint = _HINTS.get(path) or did_you_mean(str(path[-1]), _fields(model, path[:-1], document))
        return document.problem(path, "unknown key", hint, at_key=True)
    if kind == "value_error":
        cause = context.get("error")
        where = (*path, *cause.path) if isinstance(cause, FieldError) else path
        # The file may have the value of one key in place of a section.
        written = _path(where, document)
        return document.problem(written if written in document.values else where, str(cause))
    if path and path[-1] == "[key]":
        path = path[:-1]
    reason, hint = _reason(detail, document.texts.get(path))
    return document.problem(path, reason, hint)


def pattern_in_words(pattern: str) -> str:
    """Return what a text must be that matches the pattern of a field."""
    return _PATTERNS.get(pattern, f"must match {pattern}")


def _reason(detail: ErrorDetails, written: str | None) -> tuple[str, str]:
    kind, context, value = detail["type"], detail.get("ctx", {}), detail["input"]
    if kind == "literal_error":
        expected = [word.strip("'") for word in str(context["expected"]).replace(" or ", ", ").split(", ")]
        near = nearest(str(value), expected)
        wanted = " or ".join(expected) if len(expected) < 3 else f"one of {', '.join(expected)}"
        return f"must be {wanted}, got {value!r}", f"did you mean {near}?" if near else ""
    if kind == "string_pattern_mismatch":
        pattern = str(context["pattern"])
        return f"{pattern_in_words(pattern)}, got {value!r}", ""
    limits = {"greater_than_equal": ("at least", "ge"), "less_than_equal": ("at most", "le")}
    if kind in limits:
        words, key = limits[kind]
        return f"must be {words} {_limit(context[key])}, got {_shown(value)}", ""
    if kind == "greater_than":
        return f"must be greater than {context['gt']:g}, got {value}", ""
    if kind == "string_too_long":
        return f"must be at most {context['max_length']} characters, got {len(value)}", ""
    # Options of plug-ins may have types that no section of Penstock has.
    reason = _TYPES.get(kind) or re.sub("^Input (should )?", lambda found: "must " if found[1] else "", detail["msg"])
    if kind == "string_type" and isinstance(value, int | float):
        return f"{reason}, got {_noun(value)}", f'write "{written or value}"'
    return (f"{reason}, got {_noun(value)}" if kind not in ("too_short", "string_too_short") else reason), ""


def _limit(value: Any) -> str:
    # Pydantic puts the limits of durations into words itself.
    return value if isinstance(value, str) else f"{value:g}"


def _shown(value: Any) -> str:
    return format_duration(value) if isinstance(value, timedelta) else str(value)


def _noun(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list | tuple) else repr(value)


def _description(model: type[BaseModel], path: KeyPath, document: Document) -> str:
    parent = _model_at(model, path[:-1], document)
    field = _field(parent, path[-1]) if parent else None
    return (field.description or "").rstrip(".") if field else ""


def _fields(model: type[BaseModel], path: KeyPath, document: Document) -> list[str]:
    found = _model_at(model, path, document)
    known = found.model_fields if found else {}
    return [field.alias or name for name, field in known.items() if not is_hidden(field)]


def is_hidden(field: FieldInfo) -> bool:
    """Return whether a field is stored, and is no key of pipeline.yaml."""
    # Mypy takes the class for what it annotates.
    return any(isinstance(item, SkipJsonSchema) for item in field.metadata)  # type: ignore[misc]


def _model_at(model: type[BaseModel], path: KeyPath, document: Document) -> type[BaseModel] | None:
    """Return the model of the value at `path`, or None."""
    current: Any = model
    value: Any = document.data
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            value = None
        if isinstance(part, int) and isinstance(current, type) and issubclass(current, Shorthand):
            current = _essence(current.model_fields[current.shorthand].annotation, None)
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = _field(current, part)
            current = _essence(field.annotation, value) if field else None
        elif get_origin(current) in (dict, tuple):
            arguments = get_args(current)
            current = _essence(arguments[1] if get_origin(current) is dict else arguments[0], value)
        else:
            return None
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def _field(model: type[BaseModel], key: str | int) -> FieldInfo | None:
    """Return the field with the name or alias `key`, or None."""
    return next((field for name, field in model.model_fields.items() if (field.alias or name) == key), None)


def _essence(annotation: Any, value: Any) -> Any:
    """Return the type of an annotation without `Annotated` and `| None`. Of variants, it is that of `value`."""
    if get_origin(annotation) is Annotated:
        kind, *metadata = get_args(annotation)
        variants = next((one for one in metadata if isinstance(one, Variants)), None)
        return variants.model_for(value) if variants else _essence(kind, value)
    if get_origin(annotation) in (Union, UnionType):
        return _essence(next(a for a in get_args(annotation) if a is not type(None)), value)
    return annotation

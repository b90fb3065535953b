"""Conversion of pydantic's errors into problems with a position in pipeline.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pipeline.balancer.model.gateway.attached_network import DOCKER_NETWORK, NAMESPACE
from pipeline.balancer.model.gateway.gateway_endpoint import SERVICE_NAME
from pipeline.base.errors import FieldError, Problem, field_errors
from pipeline.base.quantity import format_duration
from pipeline.base.schema import Shorthand
from pipeline.base.suggestion import did_you_mean, nearest
from pipeline.base.written import written
from pipeline.config.document import Document, KeyPath
from pipeline.config.endpoint_policy import ENDPOINT_NETWORK
from pipeline.config.form import form_hint
from pipeline.config.model_path import field_of, keys_of, model_at, type_at, variants_at

# Keys whose nearest name is not what was meant.
_HINTS: dict[KeyPath, str] = {
    ("services",): "write deploy.services; `pipeline import compose` translates a Compose file",
}
_HOST_NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
_PATTERNS = {
    r"^[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?$": "must be 1 to 32 letters, digits and inner dashes",
    _HOST_NAME: "must be a host name: 1 to 63 lower-case letters, digits and inner dashes",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "must be a variable name: letters, digits and _, no digit first",
    r"^[^=\s\x00]+$": "must be the name of a variable, without = and without spaces",
    r"^/[!-~]*$": "must start with / and contain no space",
    r"^\d{1,3}(-\d{1,3})?(,\d{1,3}(-\d{1,3})?)*$": "must be status codes such as 200, 200,204 or 200-299",
    r"^[A-Za-z0-9._:\[\]-]{1,255}$": "must be a host name or an address, with or without a port",
    r"^[245]\d\d$": "must be a status code of 2XX, 4XX or 5XX",
    r"^(\d{1,5}|#\{port\})$": "must be a port or #{port}",
    r"^/": "must start with /",
    NAMESPACE: "must be a name in /run/netns, or the path of a namespace's file",
    DOCKER_NETWORK: "must be the name of a network of Docker: letters, digits and characters of _.-",
    ENDPOINT_NETWORK: "must be docker_network/NAME, namespace/NAME or host",
    SERVICE_NAME: "must be NAME, or PIPELINE/NAME for an endpoint service of another pipeline",
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
# More variants than this are not listed, and more keys.
_FEW, _MANY = 4, 20
# The errors of a value of the wrong form.
_FORMS = ("model_type", "dict_type", "tuple_type", "bool_type", "bool_parsing")


def problems_of(error: ValidationError, document: Document, model: type[BaseModel]) -> list[Problem]:
    """Return one problem for each position at which pydantic found an error."""
    found: dict[KeyPath, Problem] = {}
    misspelt = set()
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and detail["input"]:
            continue  # Pydantic counts valid items only, so a list of invalid ones is reported as too short.
        path = _path(detail["loc"], document)
        for place, problem in _problems(detail, path, document, model):
            found.setdefault(place, problem)
        if detail["type"] == "extra_forbidden":
            parent = model_at(model, path[:-1], document)
            meant = getattr(parent, "names_elsewhere", {}).get(path[-1]) or nearest(str(path[-1]), keys_of(parent))
            misspelt.add((*path[:-1], str(meant)))
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


def _problems(
    detail: ErrorDetails, path: KeyPath, document: Document, model: type[BaseModel]
) -> Iterator[tuple[KeyPath, Problem]]:
    """Yield the problems of one error, each with its path: those of a model that checks several keys are several."""
    cause = detail.get("ctx", {}).get("error")
    if detail["type"] != "value_error":
        yield path, _problem(detail, path, document, model)
        return
    for mistake in field_errors(cause) or (FieldError((), str(cause)),):
        where = (*path, *mistake.path)
        # The file may have the value of one key in place of a section.
        inner = _path(where, document)
        place = inner if inner in document.values else where
        yield place, document.problem(place, str(mistake))


def _problem(detail: ErrorDetails, path: KeyPath, document: Document, model: type[BaseModel]) -> Problem:
    kind = detail["type"]
    if kind == "missing":
        return document.problem(path, "is missing", _description(model, path, document))
    if kind == "extra_forbidden":
        hint = _HINTS.get(path) or _known_elsewhere(model, path, document)
        hint = hint or _known(str(path[-1]), keys_of(model_at(model, path[:-1], document)))
        return document.problem(path, "unknown key", hint, at_key=True)
    if path and path[-1] == "[key]":
        path = path[:-1]
    reason, hint = _reason(detail, document.texts.get(path))
    return document.problem(path, reason, hint or _form_hint(detail, path, document, model))


def _known(key: str, keys: list[str]) -> str:
    """Return the hint for an unknown key: the closest known one, or all of them if they can be read at a glance."""
    if len(keys) > _MANY and not nearest(key, keys):
        return "`pipeline schema --reference` lists the keys"
    return did_you_mean(key, keys)


def _known_elsewhere(model: type[BaseModel], path: KeyPath, document: Document) -> str:
    """Return the hint for a key that other tools have under this name, or other variants of its section."""
    *section, key = path
    if meant := getattr(model_at(model, tuple(section), document), "names_elsewhere", {}).get(key):
        return f"write {meant}"
    variants = variants_at(model, tuple(section), document)
    others = variants.others_with(str(key)) if variants else []
    return f"it is for {variants.key} {', '.join(others)}" if variants and 0 < len(others) <= _FEW else ""


def _form_hint(detail: ErrorDetails, path: KeyPath, document: Document, model: type[BaseModel]) -> str:
    """Return what to write in place of a value of the wrong form."""
    kind = type_at(model, path, document)
    if isinstance(kind, type) and issubclass(kind, Shorthand) and detail["type"] == "tuple_type":
        kind = kind.model_fields[kind.shorthand].annotation
    return form_hint(kind, detail["input"], path) if detail["type"] in _FORMS else ""


def pattern_in_words(pattern: str) -> str:
    """Return what a text must be that matches the pattern of a field."""
    return _PATTERNS.get(pattern, f"must match {pattern}")


def _reason(detail: ErrorDetails, text: str | None) -> tuple[str, str]:
    kind, context, value = detail["type"], detail.get("ctx", {}), detail["input"]
    if kind == "literal_error":
        named = str(context["expected"]).replace(" or ", ", ").split(", ")
        expected = [word.strip("'") if word.startswith("'") else word.lower() for word in named]
        near = nearest(str(value), expected)
        near = "" if expected == ["true"] else near
        wanted = " or ".join(expected) if len(expected) < 3 else f"one of {', '.join(expected)}"
        return f"must be {wanted}, got {written(value)}", f"did you mean {near}?" if near else ""
    if kind == "string_pattern_mismatch":
        pattern = str(context["pattern"])
        return f"{pattern_in_words(pattern)}, got {written(value)}", _as_pattern(value, pattern)
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
        return f"{reason}, got {written(value)}", f'write "{text or written(value)}"'
    return (f"{reason}, got {written(value)}" if kind not in ("too_short", "string_too_short") else reason), ""


def _as_pattern(value: str, pattern: str) -> str:
    """Return a hint with a name in lower case and with dashes, if the pattern allows that. Else an empty text."""
    near = value.lower().replace("_", "-")
    return f"write {near}" if pattern == _HOST_NAME and re.search(pattern, near) else ""


def _limit(value: Any) -> str:
    # Pydantic puts the limits of durations into words itself.
    return value if isinstance(value, str) else f"{value:g}"


def _shown(value: Any) -> str:
    return format_duration(value) if isinstance(value, timedelta) else str(value)


def _description(model: type[BaseModel], path: KeyPath, document: Document) -> str:
    parent = model_at(model, path[:-1], document)
    field = field_of(parent, path[-1]) if parent else None
    return (field.description or "").rstrip(".") if field else ""

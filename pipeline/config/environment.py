"""Environment variables in pipeline.yaml, in the forms that Docker Compose takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from pipeline.base.errors import Problem
from pipeline.config.container_values import PlainText, plain
from pipeline.config.document import ANY_KEY, Document, KeyPath
from pipeline.config.validation import pattern_in_words

# The value of a variable that has none at a place of the file.
Inherited = Callable[[str, KeyPath], str | None]

# The places of environments in a pipeline.yaml.
_ARGUMENTS = ("build", "args")
_PLACES: tuple[tuple[str, ...], ...] = (
    _ARGUMENTS,
    ("build", "test", "environment"),
    ("build", "test", "services", ANY_KEY, "environment"),
    ("deploy", "environment"),
    ("deploy", "services", ANY_KEY, "environment"),
    ("deploy", "release_command", "environment"),
    ("deploy", "hooks", ANY_KEY, ANY_KEY, "environment"),
    ("deploy", "services", ANY_KEY, "hooks", ANY_KEY, ANY_KEY, "environment"),
    ("accessories", ANY_KEY, "environment"),
)
_LEADING_ZERO = re.compile(r"[-+]?0\d+")
# Go, in which Compose is written, writes other numbers with an exponent.
_MIN_EXPONENT, _MAX_EXPONENT = -4, 6


def _as_text(value: Any) -> Any:
    """Return a YAML scalar as the text that Compose makes of it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return _number(value)
    return str(value) if isinstance(value, int) else value


def _number(value: float) -> str:
    exact = Decimal(repr(value))
    if not exact or _MIN_EXPONENT <= exact.adjusted() < _MAX_EXPONENT:
        return format(exact.normalize(), "f")
    mantissa, _, exponent = format(exact.normalize(), "e").partition("e")
    return f"{mantissa}e{int(exponent):+03d}"


_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
_ENVIRONMENT = r"^[^=\s\x00]+$"
VariableName = Annotated[str, Field(pattern=_VARIABLE)]
EnvironmentName = Annotated[str, Field(pattern=_ENVIRONMENT)]
Value = Annotated[PlainText, BeforeValidator(_as_text)]
_FORMS = WithJsonSchema(
    {
        "anyOf": [
            {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}},
            {"type": "array", "items": {"type": "string"}},
        ]
    }
)
Environment = Annotated[dict[EnvironmentName, Value], _FORMS]
BuildArguments = Annotated[dict[VariableName, Value], _FORMS]


def complete_environments(document: Document, data: dict[str, Any], inherited: Inherited) -> list[Problem]:
    """Turn lists of NAME=value into mappings, and give a name without a value the one that `inherited` returns.

    A variable without any is left out. Changes `data`. Returns the mistakes.
    """
    problems: list[Problem] = []
    for place in _PLACES:
        for path, parent in parents(data, place[:-1], ()):
            key = place[-1]
            here = (*path, key)
            if isinstance(parent.get(key), list):
                parent[key] = _from_list(document, here, parent[key], inherited, problems)
                continue
            written = [p[-1] for p in document.keys if p[:-1] == here]
            empty = [str(name) for name in written if name not in parent.get(key, {})]
            invalid = {name: problem for name in empty if (problem := _invalid(document, (*here, name), name))}
            problems += invalid.values()
            values = {name: inherited(name, (*here, name)) for name in empty if name not in invalid}
            if found := {name: value for name, value in values.items() if value is not None}:
                parent[key] = {**parent.get(key, {}), **found}
            problems += _leading_zeros(document, here)
    return problems


def environments(data: dict[str, Any]) -> Iterator[tuple[KeyPath, dict[str, Any], str]]:
    """Yield each mapping that may have an environment, with its path and the environment's key."""
    for place in _PLACES:
        if place != _ARGUMENTS:
            for path, parent in parents(data, place[:-1], ()):
                yield path, parent, place[-1]


def _from_list(
    document: Document, path: KeyPath, items: list[Any], inherited: Inherited, problems: list[Problem]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for index, item in enumerate(items):
        if not isinstance(item, str):
            problems.append(document.problem((*path, index), "must be text such as NAME=value"))
            continue
        name, equals, value = item.partition("=")
        if problem := _invalid(document, (*path, index), name, value):
            problems.append(problem)
        elif equals:
            found[name] = value
        elif (own := inherited(name, (*path, index))) is not None:
            found[name] = own
    return found


def _invalid(document: Document, path: KeyPath, name: str, value: str = "") -> Problem | None:
    """Return the mistake in a variable at `path`, where the models would not find it or its place."""
    pattern = _VARIABLE if path[: len(_ARGUMENTS)] == _ARGUMENTS else _ENVIRONMENT
    if not re.fullmatch(pattern, name):
        return document.problem(path, f"{pattern_in_words(pattern)}, got {name!r}", "write NAME=value or NAME: value")
    try:
        plain(value)
    except ValueError as error:
        return document.problem(path, str(error))
    return None


def _leading_zeros(document: Document, path: KeyPath) -> Iterator[Problem]:
    for place, text in document.texts.items():
        if place[:-1] == path and _LEADING_ZERO.fullmatch(text):
            yield document.problem(place, "must be in quotes, because YAML takes it for a number", f'write "{text}"')


def parents(node: Any, place: tuple[str, ...], path: KeyPath) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    """Yield each mapping at `place`, in which `ANY_KEY` stands for every key or index, with its path."""
    if isinstance(node, list) and place and place[0] == ANY_KEY:
        for index, item in enumerate(node):
            yield from parents(item, place[1:], (*path, index))
    if not isinstance(node, dict):
        return
    if not place:
        yield path, node
        return
    for key in list(node) if place[0] == ANY_KEY else [place[0]]:
        yield from parents(node.get(key), place[1:], (*path, key))

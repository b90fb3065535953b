"""Any number at any key of the file is accepted or is a `ConfigError`, and never another exception."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import ConfigError
from pipeline.config.load import load
from pipeline.config.schema import json_schema

_SCHEMA = json_schema()
# Stands for the number, which JSON may be unable to write.
_PLACE = "@"
_HUGE = "9" * 400


def _forms(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the alternatives of a schema."""
    if "$ref" in schema:
        schema = _SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
    yield schema
    for form in schema.get("anyOf", schema.get("oneOf", ())):
        yield from _forms(form)


def _kinds(schema: dict[str, Any]) -> set[str]:
    kinds = schema.get("type", ())
    return {kinds} if isinstance(kinds, str) else set(kinds)


def _documents(schema: dict[str, Any], path: tuple[int, ...] = ()) -> Iterator[Any]:
    """Yield, for each key below that has one value, data with only that key, and the keys that choose its form."""
    for form in _forms(schema):
        if id(form) in path:
            continue
        inner = (*path, id(form))
        properties = form.get("properties", {})
        if "const" not in form and _kinds(form) & {"integer", "number", "string"}:
            yield _PLACE
        fixed = {key: value for key in properties if (value := _constant(properties[key])) is not None}
        for key, value in properties.items():
            yield from ({**fixed, key: data} for data in _documents(value, inner))
        if "items" in form:
            yield from ([data] for data in _documents(form["items"], inner))
        for value in (form.get("additionalProperties"), *form.get("patternProperties", {}).values()):
            if isinstance(value, dict):
                yield from ({"web": data} for data in _documents(value, inner))


def _constant(schema: dict[str, Any]) -> Any:
    return next((form["const"] for form in _forms(schema) if "const" in form), None)


def _is_merged(data: Any, other: Any) -> bool:
    """Add `other` to `data` if both have the same form wherever they meet. Returns whether they have."""
    if isinstance(data, list) and isinstance(other, list):
        return _is_merged(data[0], other[0])
    if not isinstance(data, dict) or not isinstance(other, dict):
        return bool(data == other)
    if not all(_is_merged(data[key], other[key]) for key in data.keys() & other.keys()):
        return False
    data.update({key: value for key, value in other.items() if key not in data})
    return True


def _merged() -> list[Any]:
    """Return few documents with all keys: one costs much more than a key in it."""
    merged = list[Any]()
    for document in _documents(_SCHEMA):
        if not any(_is_merged(each, document) for each in merged):
            merged.append(document)
    return merged


@pytest.fixture(scope="module")
def documents() -> list[str]:
    """All keys, in JSON."""
    return [json.dumps(document) for document in _merged()]


@pytest.mark.parametrize(
    "number", ["1e30", "-1e30", ".inf", "-.inf", ".nan", _HUGE, f"-{_HUGE}", "9" * 39, f"{_HUGE}%", f"{_HUGE}d"]
)
def test_any_number_at_any_key(tmp_path: Path, documents: list[str], number: str) -> None:
    """A number is compared with its limits before anything is calculated with it."""
    path = tmp_path / "pipeline.yaml"
    for document in documents:
        path.write_text(document.replace(f'"{_PLACE}"', number))
        with suppress(ConfigError):
            load(path, {}, {})


def test_the_documents_have_every_key(documents: list[str]) -> None:
    """Such as the keys of the forms of a strategy, of an alarm and of an item of a list."""
    text = "".join(documents)
    for key in ("step_percent", "percent", "slower_by", "weight", "cpus", "minimum", "keep_succeeded"):
        assert f'"{key}": ' in text

"""Labels of a container, in Compose's forms."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from pipeline.base.errors import FieldError
from pipeline.base.written import written
from pipeline.config.environment import Value
from pipeline.engine.labels import LABEL_PREFIX


def _as_mapping(value: Any) -> Any:
    """Return a list of NAME=value as a mapping. A name alone has an empty value."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be a list or a mapping of labels, got {written(value)}")
    found: dict[str, str] = {}
    for index, entry in enumerate(value):
        if not isinstance(entry, str):
            raise FieldError(index, f"must be text such as NAME=value, got {written(entry)}")
        name, _, text = entry.partition("=")
        try:
            found[_name(name)] = text
        except ValueError as error:
            raise FieldError(index, str(error)) from None
    return found


def _name(value: str) -> str:
    if not value.strip() or "=" in value or "\0" in value:
        raise ValueError(f"{value!r} is not a valid name of a label; write NAME: value")
    if value.startswith(LABEL_PREFIX):
        raise ValueError(f"{value} must have another name: Penstock sets the labels that begin with {LABEL_PREFIX}")
    return value


ContainerLabels = Annotated[
    dict[Annotated[str, AfterValidator(_name)], Value],
    BeforeValidator(_as_mapping),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}},
                {"type": "array", "items": {"type": "string"}},
            ]
        }
    ),
]

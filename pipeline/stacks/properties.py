"""Properties of resources: from a template to their provider, and as they are stored."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from pipeline.base.errors import ConfigError
from pipeline.base.schema import Model
from pipeline.stacks.provider import ResourceProvider


def parse(provider: ResourceProvider[Any], properties: object) -> Model:
    """Return properties in the form of their provider. Raises `ConfigError` in AWS's words."""
    try:
        found: Model = provider.properties.model_validate(properties)
    except ValidationError as error:
        raise ConfigError(validation_message(error)) from None
    return found


def normalize(provider: ResourceProvider[Any], properties: object) -> dict[str, Any]:
    """Return properties as they are stored: `80` and `"80"` are equal where the type is a number."""
    return parse(provider, properties).model_dump(mode="json", by_alias=True, exclude_unset=True)


def validation_message(error: ValidationError) -> str:
    """Return every mistake in properties, in AWS's words."""
    lines = list[str]()
    for found in error.errors():
        *parents, last = ("", *map(str, found["loc"]))
        place = "#" + "/".join(parents)
        if found["type"] == "extra_forbidden":
            lines.append(f"{place}: extraneous key [{last}] is not permitted")
        elif found["type"] == "missing":
            lines.append(f"{place}: required key [{last}] not found")
        else:
            lines.append(f"#{'/'.join((*parents, last))}: {found['msg'].removeprefix('Value error, ')}")
    return "Properties validation failed: " + "; ".join(dict.fromkeys(lines))

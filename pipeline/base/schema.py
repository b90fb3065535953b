"""Base models of everything that is declared in pipeline.yaml."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from pipeline.base.quantity import Whole

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?$")]
Port = Annotated[Whole, Field(ge=1, le=65535)]


class Model(BaseModel):
    """Base of all declared models: frozen, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)


class Shorthand(Model):
    """A model that may be written as the value of its key `shorthand`. The other keys then have their defaults."""

    shorthand: ClassVar[str]

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, data: Any) -> Any:
        return data if isinstance(data, dict | cls) else {cls.shorthand: data}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        whole = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [whole["properties"][cls.shorthand], dict(whole)], "description": whole.get("description", "")}


def between(value: timedelta, low: str, high: str, least: timedelta, most: timedelta) -> timedelta:
    """Return `value`. Raises `ValueError` if it is outside the range, which is shown as `low` and `high`."""
    if not least <= value <= most:
        raise ValueError(f"must be between {low} and {high}")
    return value

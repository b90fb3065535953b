"""Base models of everything that is declared in pipeline.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import CoreSchema

from pipeline.base.clock import Stamp
from pipeline.base.deferred_schema import being_built, build_whole, deferred_schema, is_built
from pipeline.base.quantity import Whole

if TYPE_CHECKING:
    from pydantic._internal._namespace_utils import MappingNamespace


def _stamp(value: Any) -> Any:
    """Accept a wall time alone, as earlier versions stored it."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return Stamp.from_wall(value) if isinstance(value, datetime) else value


StoredStamp = Annotated[Stamp, BeforeValidator(_stamp)]
"""A stamp that is stored whole. A wall time alone is accepted too."""

ShownStamp = Annotated[StoredStamp, PlainSerializer(lambda stamp: stamp.wall, return_type=datetime)]
"""A stamp that is shown as its wall time."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?$")]
Port = Annotated[Whole, Field(ge=1, le=65535)]


class Model(BaseModel):
    """Base of all declared models: frozen, and strict about unknown keys.

    `example` is a valid form for messages, and `names_elsewhere` the keys by their names in other tools.

    A model is built when the first value of it is read: see `deferred_schema`. A command reads values of few of them.
    """

    example: ClassVar[str] = ""
    names_elsewhere: ClassVar[Mapping[str, str]] = {}

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True, defer_build=True)

    @classmethod
    def model_rebuild(
        cls,
        *,
        force: bool = False,
        raise_errors: bool = True,
        _parent_namespace_depth: int = 0,
        _types_namespace: MappingNamespace | None = None,
    ) -> bool | None:
        """Build the model. Pydantic calls it for the first value. Safe in any thread."""
        with being_built(cls):
            return super().model_rebuild(
                force=force,
                raise_errors=raise_errors,
                # Names mean the same wherever the first value is read: those of the caller do not count.
                _parent_namespace_depth=0,
                _types_namespace=_types_namespace,
            )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler(source) if is_built(cls) else deferred_schema(cls)

    @classmethod
    def model_json_schema(cls, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Return the JSON schema. See pydantic."""
        build_whole(cls)
        return super().model_json_schema(*arguments, **options)

    def __eq__(self, other: object) -> bool:
        """Return whether type and fields are the same. Pydantic's comparison takes more than twice as long."""
        if self is other:
            return True
        return self.__dict__ == other.__dict__ if type(self) is type(other) else NotImplemented


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


def is_hidden(field: FieldInfo) -> bool:
    """Return whether a field is stored, and is no key of pipeline.yaml."""
    # Mypy takes the class for what it annotates.
    return any(isinstance(item, SkipJsonSchema) for item in field.metadata)  # type: ignore[misc]


def between(value: timedelta, low: str, high: str, least: timedelta, most: timedelta) -> timedelta:
    """Return `value`. Raises `ValueError` if it is outside the range, which is shown as `low` and `high`."""
    if not least <= value <= most:
        raise ValueError(f"must be between {low} and {high}")
    return value

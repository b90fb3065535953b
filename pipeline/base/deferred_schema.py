"""Schemas of models that are built when the first value is read. To build one takes longer than to read a value."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from pydantic import BaseModel
from pydantic_core import CoreSchema
from pydantic_core.core_schema import ValidationInfo, with_info_plain_validator_function

_BUILT: ContextVar[type[BaseModel] | None] = ContextVar("model that is being built", default=None)
_WHOLE: ContextVar[set[type[BaseModel]] | None] = ContextVar("models that were built whole", default=None)


@contextmanager
def being_built(model: type[BaseModel]) -> Iterator[None]:
    """Within the block, this thread builds `model`."""
    token = _BUILT.set(model)
    try:
        yield
    finally:
        _BUILT.reset(token)


def is_built(model: type[BaseModel]) -> bool:
    """Return whether a model has its schema, or gets it now in this thread."""
    found = _WHOLE.get()
    if found is not None and model not in found:
        found.add(model)
        model.model_rebuild(force=True)
    return model is _BUILT.get() or bool(model.__pydantic_complete__)


def build_whole(model: type[BaseModel]) -> None:
    """Build a model with all models inside it, because only then it has a JSON schema. Safe in any thread."""
    token = _WHOLE.set(_WHOLE.get() or {model})
    try:
        model.model_rebuild(force=True)
    finally:
        _WHOLE.reset(token)


def deferred_schema(model: type[BaseModel]) -> CoreSchema:
    """Return the schema of a model inside another one, which builds the model for its first value.

    Errors have the same place and text as those of a model that was built before. In a union, the place names the model
    as `function-plain[NAME()]`.
    """

    def validate(value: object, info: ValidationInfo[Any]) -> object:
        return model.__pydantic_validator__.validate_python(value, context=info.context)

    validate.__name__ = model.__name__
    return with_info_plain_validator_function(validate)

"""A choice between models by the value of one key. Errors are those of the chosen model, at the keys as written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, InitErrorDetails
from pydantic_core.core_schema import no_info_wrap_validator_function

from pipeline.base.errors import FieldError
from pipeline.base.schema import Model, is_hidden


class Variants:
    """Annotates a union of models: the value of `key` chooses the model.

    `models`: value → model. Without the key, the value is `default`. `refused`: further values that a user may expect,
    each with the reason. A union of pydantic would report the errors of each model, or put the choice in their place.
    """

    def __init__(
        self, key: str, models: Mapping[str, type[Model]], default: str, refused: Mapping[str, str] | None = None
    ) -> None:
        self.key = key
        self._models = models
        self._default = default
        self._refused = refused or {}

    def others_with(self, key: str) -> list[str]:
        """Return the values of whose models `key` is a key of pipeline.yaml."""
        fields = {value: model.model_fields.get(key) for value, model in self._models.items()}
        return [value for value, field in fields.items() if field and not is_hidden(field)]

    def model_for(self, data: object) -> type[Model]:
        """Return the model of this data, or the default one if the data chooses none."""
        value = data.get(self.key) if isinstance(data, dict) else None
        known = self._models.get(value) if isinstance(value, str) else None
        return known or self._models[self._default]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_wrap_validator_function(lambda data, _: self._validate(data), handler(source))

    def _validate(self, data: object) -> Model:
        if isinstance(data, Model):
            return self._of_variant(data)
        if isinstance(data, dict) and (value := data.get(self.key)) is not None:
            named = value if isinstance(value, str) else ""
            if reason := self._refused.get(named):
                raise FieldError(self.key, f"{value} is not supported: {reason}")
            if named not in self._models:
                raise self._unknown(value)
        return self.model_for(data).model_validate(data)

    def _of_variant(self, made: Model) -> Model:
        if type(made) in self._models.values():
            return made
        raise ValueError(f"must not be a {type(made).__name__}")

    def _unknown(self, value: object) -> ValidationError:
        expected = " or ".join(f"'{name}'" for name in self._models)
        detail = InitErrorDetails(type="literal_error", loc=(self.key,), input=value, ctx={"expected": expected})
        return ValidationError.from_exception_data("", [detail])

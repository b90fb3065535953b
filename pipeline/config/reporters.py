"""Reporters in pipeline.yaml. They are found through entry points, and each has its own options."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Annotated, Any, get_args

from pydantic import BaseModel, GetJsonSchemaHandler, SerializeAsAny, ValidationError, WrapValidator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, ErrorDetails, InitErrorDetails
from pydantic_core.core_schema import ErrorType, ValidatorFunctionWrapHandler

from pipeline.balancer.model import Model, Name
from pipeline.base.deferred_schema import build_whole
from pipeline.base.errors import FieldError
from pipeline.base.suggestion import did_you_mean, nearest
from pipeline.base.written import written

GROUP = "pipeline.reporters"
_TYPE = "type"


def reporter_types() -> dict[str, type[Model]]:
    """Return the model of each installed reporter by its type."""
    return {name: _load(name) for name in sorted(entry_points(group=GROUP).names)}


def _load(name: str) -> type[Model]:
    (entry, *_) = entry_points(group=GROUP, name=name)
    try:
        found = entry.load()
    except Exception as error:  # noqa: BLE001  # a third-party package may raise anything on import
        raise FieldError(_TYPE, f"cannot load reporter {name}: {error!r}") from None
    if not (isinstance(found, type) and issubclass(found, Model) and callable(getattr(found, "report", None))):
        raise FieldError(_TYPE, f"{entry.value} (reporter {name}) must be a subclass of pipeline.reporters.Reporter")
    return found


def _validate(value: Any, handler: ValidatorFunctionWrapHandler) -> Model:
    if isinstance(value, Model):
        return value
    if not isinstance(value, dict):
        return handler(value)  # type: ignore[no-any-return]  # reports that it must be a mapping
    known = sorted(entry_points(group=GROUP).names)
    kind = value.get(_TYPE)
    if kind is None:
        raise FieldError(_TYPE, f"is missing (one of {', '.join(known)})")
    if not isinstance(kind, str):
        raise FieldError(_TYPE, f"must be text, got {written(kind)} (one of {', '.join(known)})")
    if kind not in known:
        raise FieldError(_TYPE, f"unknown reporter {kind!r} ({did_you_mean(kind, known)})")
    model = _load(kind)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ValidationError.from_exception_data(kind, list(_explained(error, model))) from None


def _explained(error: ValidationError, model: type[BaseModel]) -> Iterator[InitErrorDetails]:
    """Yield pydantic's errors. Reasons about options are added here, since the caller does not know the model."""
    details = error.errors(include_url=False)
    unknown = [str(d["loc"][0]) for d in details if d["type"] == "extra_forbidden" and len(d["loc"]) == 1]
    misspelt = {nearest(key, model.model_fields) for key in unknown}
    for detail in details:
        if detail["type"] != "missing" or detail["loc"][0] not in misspelt:
            reason = _reason(detail, model)
            kind, context = ("value_error", {"error": ValueError(reason)}) if reason else (detail["type"], None)
            yield InitErrorDetails(
                type=kind, loc=detail["loc"], input=detail["input"], ctx=context or detail.get("ctx", {})
            )


def _reason(detail: ErrorDetails, model: type[BaseModel]) -> str:
    """Return the reason of an error, or an empty text if the caller can derive it from pydantic's error type."""
    kind, key = detail["type"], str(detail["loc"][0]) if len(detail["loc"]) == 1 else ""
    if key and kind == "extra_forbidden":
        return f"unknown key ({did_you_mean(key, model.model_fields)})"
    if key and kind == "missing":
        return f"is missing ({(model.model_fields[key].description or '').rstrip('.')})"
    return "" if kind in get_args(ErrorType) else detail["msg"]


class _Schema:
    """JSON Schema of any installed reporter."""

    @classmethod
    def __get_pydantic_json_schema__(cls, _: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schemas = []
        for name, model in reporter_types().items():
            build_whole(model)
            schema = handler.resolve_ref_schema(handler(model.__pydantic_core_schema__))
            schema["properties"][_TYPE] |= {"const": name}
            schemas.append(schema)
        return {"anyOf": schemas}


Reporters = dict[Name, Annotated[SerializeAsAny[Model], WrapValidator(_validate), _Schema]]

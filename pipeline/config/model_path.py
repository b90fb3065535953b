"""What the models declare at a path of pipeline.yaml."""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pipeline.base.schema import Shorthand, is_hidden
from pipeline.base.variants import Variants
from pipeline.config.document import Document, KeyPath


def type_at(model: type[BaseModel], path: KeyPath, document: Document) -> Any:
    """Return the type of the value at `path`, without `Annotated` and `| None`. None if the models have no such key."""
    return _essence(*_declared_at(model, path, document))


def variants_at(model: type[BaseModel], path: KeyPath, document: Document) -> Variants | None:
    """Return the choice between models that the value at `path` makes, or None."""
    return _variants(_declared_at(model, path, document)[0])


def _declared_at(model: type[BaseModel], path: KeyPath, document: Document) -> tuple[Any, Any]:
    """Return the annotation at `path`, and the value in the file."""
    current: Any = model
    value: Any = document.data
    for part in path:
        parent = _essence(current, value)
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            value = None
        if isinstance(part, int) and isinstance(parent, type) and issubclass(parent, Shorthand):
            parent = _essence(parent.model_fields[parent.shorthand].annotation, None)
        if inner := as_model(parent):
            field = field_of(inner, part)
            current = Annotated[field.annotation, *field.metadata, None] if field else None
        elif get_origin(parent) in (dict, tuple):
            current = get_args(parent)[1 if get_origin(parent) is dict else 0]
        else:
            return None, value
    return current, value


def model_at(model: type[BaseModel], path: KeyPath, document: Document) -> type[BaseModel] | None:
    """Return the model of the value at `path`, or None."""
    return as_model(type_at(model, path, document))


def as_model(found: Any) -> type[BaseModel] | None:
    """Return a type if it is a model, else None."""
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def item_of(collection: Any, value: Any = None) -> Any:
    """Return the type of the values of a dictionary, or of the items of a tuple. Of variants, it is that of `value`."""
    arguments = get_args(collection)
    return _essence(arguments[1] if get_origin(collection) is dict else arguments[0], value)


def field_of(model: type[BaseModel], key: str | int) -> FieldInfo | None:
    """Return the field with the name or alias `key`, or None."""
    return next((field for name, field in model.model_fields.items() if (field.alias or name) == key), None)


def keys_of(model: type[BaseModel] | None) -> list[str]:
    """Return the keys of a model in pipeline.yaml, in the order of their declaration."""
    known = model.model_fields if model else {}
    return [field.alias or name for name, field in known.items() if not is_hidden(field)]


def _essence(annotation: Any, value: Any) -> Any:
    """Return the type of an annotation without `Annotated` and `| None`. Of variants, it is that of `value`."""
    if variants := _variants(annotation):
        return variants.model_for(value)
    if get_origin(annotation) is Annotated:
        return _essence(get_args(annotation)[0], value)
    if get_origin(annotation) in (Union, UnionType):
        return _essence(next(a for a in get_args(annotation) if a is not type(None)), value)
    return annotation


def _variants(annotation: Any) -> Variants | None:
    """Return the choice between models that an annotation has, also beside None."""
    if get_origin(annotation) is Annotated:
        kind, *metadata = get_args(annotation)
        return next((one for one in metadata if isinstance(one, Variants)), None) or _variants(kind)
    if get_origin(annotation) in (Union, UnionType):
        return next((found for part in get_args(annotation) if (found := _variants(part))), None)
    return None

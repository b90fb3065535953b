"""The parameters of a request in the protocol `json`."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any, NoReturn

from pipeline.aws.errors import AwsError
from pipeline.aws.timestamps import parse_timestamp

if TYPE_CHECKING:
    from botocore.model import Shape, StructureShape

_TYPES: dict[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "character": (str,),
    "blob": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float, str),
}


def read_json(shape: StructureShape | None, body: bytes) -> dict[str, Any]:
    """Return the input of an operation in the model's names and types.

    Raises `AwsError` for a body that is not JSON, for a member that the model does not have and for a value of another
    type. A member that is null is missing.
    """
    try:
        data = json.loads(body or b"{}", parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise AwsError("SerializationException", f"The body is not valid JSON: {error}") from None
    if not isinstance(data, dict):
        raise AwsError("SerializationException", "Start of structure or map found where not expected.")
    if shape is None:
        for name in data:
            raise _unknown(name)
        return {}
    found: dict[str, Any] = _value(shape, data, "")
    return found


def _value(shape: Shape, value: Any, path: str) -> Any:
    kind = shape.type_name
    _check_type(kind, value, path)
    if kind == "structure":
        return _structure(shape, value, path)
    if kind == "list":
        return [_value(shape.member, each, f"{path}.{number}") for number, each in enumerate(value, 1)]
    if kind == "map":
        return {_value(shape.key, key, path): _value(shape.value, each, f"{path}.{key}") for key, each in value.items()}
    return _scalar(kind, value, path)


def _check_type(kind: str, value: Any, path: str) -> None:
    # A boolean is an integer in Python, and none in JSON.
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        found = type(value).__name__
        raise AwsError("SerializationException", f"{path or 'The body'} must be of type {kind}, got {found}")


def _structure(shape: StructureShape, value: dict[str, Any], path: str) -> dict[str, Any]:
    names = {each.serialization.get("name", member): member for member, each in shape.members.items()}
    found = {}
    for name, each in value.items():
        if name not in names:
            raise _unknown(f"{path}.{name}".lstrip("."))
        if each is not None:
            member = names[name]
            found[member] = _value(shape.members[member], each, f"{path}.{name}".lstrip("."))
    return found


def _scalar(kind: str, value: Any, path: str) -> Any:
    try:
        if kind == "string":
            # Half of a surrogate pair is valid in JSON, and no text.
            value.encode()
        if kind == "blob":
            return base64.b64decode(value, validate=True)
        if kind == "timestamp":
            return parse_timestamp(value)
    except (ValueError, binascii.Error):
        raise AwsError("SerializationException", f"{path} is not a valid {kind}") from None
    return float(value) if kind in ("float", "double") else value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _unknown(name: str) -> AwsError:
    return AwsError("ValidationException", f"The parameter {name} is not recognized")

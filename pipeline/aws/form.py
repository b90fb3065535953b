"""The parameters of a request in the protocols `query` and `ec2`: a form with names such as `Tags.member.1.Key`."""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from pipeline.aws.errors import AwsError
from pipeline.aws.timestamps import parse_timestamp

if TYPE_CHECKING:
    from botocore.model import ListShape, MapShape, Shape, StructureShape

MAX_FIELDS = 20_000
_NUMBERS = {
    "integer": re.compile(r"[+-]?[0-9]{1,10}"),
    "long": re.compile(r"[+-]?[0-9]{1,19}"),
    "float": re.compile(r"[+-]?[0-9.]+([eE][+-]?[0-9]+)?|NaN|-?Infinity"),
}
_NUMBERS["double"] = _NUMBERS["float"]
# Its own value, beside the names of what is in it.
_VALUE = ""

Node = dict[str, Any]


def parse_form(text: bytes) -> dict[str, str]:
    """Return the fields of a form. Raises `AwsError`."""
    try:
        pairs = parse_qsl(
            text.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(text),
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError as error:
        raise AwsError("MalformedQueryString", f"The query string contains a syntax error: {error}") from None
    for name, count in Counter(name for name, _ in pairs).most_common(1):
        if count > 1:
            raise AwsError("MalformedQueryString", f"The parameter {name} is given twice")
    return dict(pairs)


class FormReader:
    """Reads the input of an operation from the fields of a form."""

    def __init__(self, *, ec2: bool) -> None:
        self._ec2 = ec2

    def read(self, shape: StructureShape | None, fields: dict[str, str]) -> dict[str, Any]:
        """Return the input in the model's names and types. `fields` has no `Action` and no `Version`.

        Raises `AwsError` for a parameter that the model does not have and for a value of another type.
        """
        root: Node = {}
        for name, value in fields.items():
            node = root
            for part in name.split("."):
                if not part:
                    raise _unknown(name)
                node = node.setdefault(part, {})
            node[_VALUE] = value
        if shape is None:
            self._check_unknown(root, (), "")
            return {}
        return self._structure(shape, root, "")

    def _structure(self, shape: StructureShape, node: Node, path: str) -> dict[str, Any]:
        names = {self._member_name(each, member): member for member, each in shape.members.items()}
        self._check_unknown(node, names, path)
        return {
            names[name]: self._value(shape.members[names[name]], each, f"{path}{name}") for name, each in node.items()
        }

    def _value(self, shape: Shape, node: Node, path: str) -> Any:
        if shape.type_name == "structure":
            return self._structure(shape, node, f"{path}.")
        if shape.type_name == "list":
            return self._list(shape, node, path)
        if shape.type_name == "map":
            return self._map(shape, node, path)
        self._check_unknown(node, (_VALUE,), f"{path}.")
        return scalar(shape, node[_VALUE], path)

    def _list(self, shape: ListShape, node: Node, path: str) -> list[Any]:
        if node == {_VALUE: ""}:
            return []
        if not (self._ec2 or _is_flattened_list(shape)):
            name = shape.member.serialization.get("name", "member")
            self._check_unknown(node, (name,), f"{path}.")
            node, path = node[name], f"{path}.{name}"
        return [self._value(shape.member, node[key], f"{path}.{key}") for key in self._indexes(node, path)]

    def _map(self, shape: MapShape, node: Node, path: str) -> dict[str, Any]:
        if node == {_VALUE: ""}:
            return {}
        if not shape.serialization.get("flattened"):
            self._check_unknown(node, ("entry",), f"{path}.")
            node, path = node["entry"], f"{path}.entry"
        key, value = self._name(shape.key, "key"), self._name(shape.value, "value")
        found = {}
        for index in self._indexes(node, path):
            entry, place = node[index], f"{path}.{index}"
            self._check_unknown(entry, (key, value), f"{place}.")
            if key not in entry or value not in entry:
                raise AwsError("MalformedQueryString", f"The parameter {place} needs {key} and {value}")
            name = self._value(shape.key, entry[key], f"{place}.{key}")
            found[name] = self._value(shape.value, entry[value], f"{place}.{value}")
        return found

    def _indexes(self, node: Node, path: str) -> list[str]:
        for key in node:
            if not re.fullmatch("[0-9]{1,5}", key):
                raise _unknown(f"{path}.{key}".rstrip("."))
        return sorted(node, key=int)

    def _member_name(self, shape: Shape, member: str) -> str:
        """Return the name of a member. The items of a flattened list have the name of an item, if it has one."""
        if not self._ec2 and _is_flattened_list(shape) and (item := shape.member.serialization.get("name")):
            return str(item)
        return self._name(shape, member)

    def _name(self, shape: Shape, default: str) -> str:
        if not self._ec2:
            return str(shape.serialization.get("name", default))
        if "queryName" in shape.serialization:
            return str(shape.serialization["queryName"])
        name = str(shape.serialization.get("name", default))
        return name[0].upper() + name[1:] if "name" in shape.serialization else name

    def _check_unknown(self, node: Node, names: Collection[str], path: str) -> None:
        for name in node:
            if name not in names:
                raise _unknown(f"{path}{name}".rstrip("."))


def scalar(shape: Shape, text: str, path: str) -> Any:
    """Return the value of a text. Raises `AwsError`."""
    kind = shape.type_name
    try:
        if kind == "boolean":
            return {"true": True, "false": False}[text.lower()]
        if kind in _NUMBERS:
            if not _NUMBERS[kind].fullmatch(text):
                raise ValueError(text)
            return int(text) if kind in ("integer", "long") else float(text)
        if kind == "timestamp":
            return parse_timestamp(text)
        if kind == "blob":
            return base64.b64decode(text, validate=True)
    except (ValueError, KeyError, binascii.Error):
        raise AwsError(
            "ValidationError", f"Value '{text}' at '{path}' failed to satisfy constraint: Member must be a valid {kind}"
        ) from None
    return text


def _is_flattened_list(shape: Shape) -> bool:
    return shape.type_name == "list" and bool(shape.serialization.get("flattened"))


def _unknown(name: str) -> AwsError:
    return AwsError("UnknownParameter", f"The parameter {name} is not recognized")

"""The response of an operation, and of an error: XML in the protocols `query` and `ec2`, JSON in `json`."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from pipeline.aws.errors import AwsError
from pipeline.aws.message import HttpResponse
from pipeline.aws.timestamps import iso_timestamp

if TYPE_CHECKING:
    from botocore.model import MapShape, OperationModel, Shape, StructureShape

# Characters that XML 1.0 cannot contain, not even as a reference.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_output(operation: OperationModel, protocol: str, result: Mapping[str, Any], request_id: str) -> HttpResponse:
    """Return the response for the result of an operation. Raises `ValueError` if the model does not have it."""
    if protocol == "json":
        data = _Json().structure(operation.output_shape, result) if operation.output_shape else _no_output(result)
        return _json_response(operation.service_model.metadata, 200, data, request_id)
    root = ET.Element(f"{operation.name}Response")
    if namespace := operation.service_model.metadata.get("xmlNamespace"):
        root.set("xmlns", namespace)
    parent = root
    if protocol == "ec2":
        ET.SubElement(root, "requestId").text = request_id
    if operation.output_shape is None:
        _no_output(result)
    else:
        if wrapper := operation.output_shape.serialization.get("resultWrapper"):
            parent = ET.SubElement(root, wrapper)
        _Xml().structure(operation.output_shape, result, parent)
    if protocol == "query":
        ET.SubElement(ET.SubElement(root, "ResponseMetadata"), "RequestId").text = request_id
    return _xml_response(200, root, request_id)


def write_error(metadata: Mapping[str, Any], protocol: str, error: AwsError, request_id: str) -> HttpResponse:
    """Return the response for an error. `metadata` is that of the service model, or empty if it is unknown."""
    if protocol == "json":
        return _json_response(metadata, error.status, {"__type": error.code, "message": error.message}, request_id)
    if protocol == "ec2":
        root = ET.Element("Response")
        parent = ET.SubElement(ET.SubElement(root, "Errors"), "Error")
        id_name = "RequestID"
    else:
        root = ET.Element("ErrorResponse")
        if namespace := metadata.get("xmlNamespace"):
            root.set("xmlns", namespace)
        parent = ET.SubElement(root, "Error")
        ET.SubElement(parent, "Type").text = "Sender" if error.status < 500 else "Receiver"
        id_name = "RequestId"
    ET.SubElement(parent, "Code").text = error.code
    ET.SubElement(parent, "Message").text = _xml_text(error.message)
    ET.SubElement(root, id_name).text = request_id
    return _xml_response(error.status, root, request_id)


class _Xml:
    """Writes values of a shape as elements."""

    def structure(self, shape: StructureShape, value: Mapping[str, Any], parent: ET.Element) -> None:
        _check_members(shape, value)
        for member, member_shape in shape.members.items():
            if value.get(member) is not None:
                self._value(member_shape, value[member], member_shape.serialization.get("name", member), parent)

    def _value(self, shape: Shape, value: Any, name: str, parent: ET.Element) -> None:
        if shape.type_name in ("list", "map"):
            flattened = bool(shape.serialization.get("flattened"))
            holder = parent if flattened else ET.SubElement(parent, name)
            if shape.type_name == "map":
                self._map(shape, value, name if flattened else "entry", holder)
                return
            item = shape.member.serialization.get("name", name if flattened else "member")
            for each in value:
                self._value(shape.member, each, item, holder)
            return
        element = ET.SubElement(parent, name)
        if shape.type_name == "structure":
            self.structure(shape, value, element)
        else:
            element.text = _xml_text(_text(shape, value))

    def _map(self, shape: MapShape, value: Mapping[str, Any], name: str, holder: ET.Element) -> None:
        for key, each in value.items():
            entry = ET.SubElement(holder, name)
            self._value(shape.key, key, shape.key.serialization.get("name", "key"), entry)
            self._value(shape.value, each, shape.value.serialization.get("name", "value"), entry)


class _Json:
    """Writes values of a shape as JSON's."""

    def structure(self, shape: StructureShape, value: Mapping[str, Any]) -> dict[str, Any]:
        _check_members(shape, value)
        return {
            member_shape.serialization.get("name", member): self._value(member_shape, value[member])
            for member, member_shape in shape.members.items()
            if value.get(member) is not None
        }

    def _value(self, shape: Shape, value: Any) -> Any:
        match shape.type_name:
            case "structure":
                return self.structure(shape, value)
            case "list":
                return [self._value(shape.member, each) for each in value]
            case "map":
                return {key: self._value(shape.value, each) for key, each in value.items()}
            case "timestamp":
                return value.timestamp()
            case "blob":
                return base64.b64encode(value).decode()
        return value


def _check_members(shape: StructureShape, value: Mapping[str, Any]) -> None:
    if unknown := value.keys() - shape.members.keys():
        raise ValueError(f"{shape.name} has no {', '.join(sorted(unknown))}")


def _no_output(result: Mapping[str, Any]) -> dict[str, Any]:
    if result:
        raise ValueError(f"the operation has no output, got {', '.join(result)}")
    return {}


def _text(shape: Shape, value: Any) -> str:
    match shape.type_name:
        case "boolean":
            return "true" if value else "false"
        case "timestamp":
            return iso_timestamp(value)
        case "blob":
            return base64.b64encode(value).decode()
    return str(value)


def _xml_text(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def _xml_response(status: int, root: ET.Element, request_id: str) -> HttpResponse:
    # A parser reads a plain carriage return as a line feed. ElementTree writes one as it is in a text.
    content = ET.tostring(root, encoding="unicode").replace("\r", "&#13;")
    headers = {"content-type": "text/xml;charset=utf-8", "x-amzn-requestid": request_id}
    return HttpResponse(status, headers, f'<?xml version="1.0" encoding="UTF-8"?>\n{content}\n'.encode())


def _json_response(metadata: Mapping[str, Any], status: int, data: dict[str, Any], request_id: str) -> HttpResponse:
    kind = f"application/x-amz-json-{metadata.get('jsonVersion', '1.1')}"
    headers = {"content-type": kind, "x-amzn-requestid": request_id}
    return HttpResponse(status, headers, json.dumps(data).encode())

"""The OpenAPI description of the control API, from its endpoints and their models."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from pipeline import __version__
from pipeline.base.deferred_schema import build_whole
from pipeline.http.endpoint import Endpoint
from pipeline.http.responses.body import ErrorResponse

# Of the parts of a path that are no text. The router leaves them as they are, since it would fail at a long one.
_TYPES = {"number": "integer", "other": "integer"}
_TEMPLATE = "#/components/schemas/{model}"


def describe(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """Return an OpenAPI 3.1 document."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        # A parameter that may have slashes is written `{path:path}` for the router.
        path = re.sub(r"{(\w+):path}", r"{\1}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, path)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Penstock", "version": __version__},
        "paths": paths,
        "components": {"schemas": _schemas(endpoints)},
    }


def _operation(endpoint: Endpoint, path: str) -> dict[str, Any]:
    success: dict[str, Any] = {"description": HTTPStatus(endpoint.code).phrase}
    if endpoint.gives is not None:
        schema = _reference(endpoint.gives)
        media = "text/event-stream" if endpoint.follows else "application/json"
        success["content"] = {media: {"schema": {"type": "array", "items": schema} if endpoint.many else schema}}
    failure = {"description": "An error.", "content": {"application/json": {"schema": _reference(ErrorResponse)}}}
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": _TYPES.get(name, "string")}}
            for name in re.findall(r"{(\w+)}", path)
        ]
        + (endpoint.query.parameters() if endpoint.query else []),
        "responses": {str(endpoint.code): success, "default": failure},
    }
    if endpoint.takes is not None:
        content = {"application/json": {"schema": _reference(endpoint.takes)}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _schemas(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    models: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(ErrorResponse, "serialization"): None}
    models |= {(e.takes, "validation"): None for e in endpoints if e.takes is not None}
    models |= {(e.gives, "serialization"): None for e in endpoints if e.gives is not None}
    for model, _ in models:
        build_whole(model)
    _, document = models_json_schema(list(models), ref_template=_TEMPLATE)
    schemas: dict[str, Any] = document["$defs"]
    return schemas


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _TEMPLATE.format(model=model.__name__)}

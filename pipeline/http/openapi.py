"""The control API's description, from its endpoints and the models of what it takes and gives."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pipeline import __version__
from pipeline.http.requests import Body
from pipeline.http.responses import run_schema


def describe(endpoints: Sequence[tuple[str, str, str, type[Body] | None]]) -> dict[str, Any]:
    """An OpenAPI 3.1 document."""
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = {"Run": run_schema()}
    for method, path, summary, takes in endpoints:
        plain = re.sub(r":int}", "}", path)
        operation: dict[str, Any] = {
            "summary": summary,
            "parameters": [
                {
                    "name": name,
                    "in": "path",
                    "required": True,
                    "schema": {"type": "integer" if kind else "string"},
                }
                for name, kind in re.findall(r"{(\w+)(:int)?}", path)
            ],
            "responses": {"default": {"description": "JSON, or an object with `error` and `hint`."}},
        }
        if takes is not None:
            schemas[takes.__name__] = takes.model_json_schema(ref_template="#/components/schemas/{model}")
            content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{takes.__name__}"}}}
            operation["requestBody"] = {"required": True, "content": content}
        paths.setdefault(plain, {})[method.lower()] = operation
    for schema in list(schemas.values()):
        schemas.update(schema.pop("$defs", {}))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Penstock", "version": __version__},
        "paths": paths,
        "components": {"schemas": schemas},
    }

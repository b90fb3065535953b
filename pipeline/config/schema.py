"""The JSON Schema of pipeline.yaml, generated from the models, for editors and other tools."""

from __future__ import annotations

from typing import Any

from pipeline.config.models import Pipeline

SCHEMA_ID = "https://json.schemastore.org/penstock-pipeline.json"
"""The name of the schema in the catalogue that editors use. Nothing here fetches it."""

_REFERENCE = {"type": "string", "pattern": r"\$\{", "description": "Parameter or variable, resolved on reading."}
_TEXT_ONLY = ("pattern", "enum", "const", "minLength")


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema, draft 2020-12. Every value may also be a reference `${…}`."""
    schema = _loosened(Pipeline.model_json_schema())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "pipeline.yaml",
        **{key: value for key, value in schema.items() if key != "title"},
    }


def _loosened(node: Any, key: str = "") -> Any:
    if isinstance(node, list):
        return [_loosened(item) for item in node]
    if not isinstance(node, dict):
        return node
    if key != "properties" and _is_narrow(node):
        kept = {name: node[name] for name in ("description", "default", "title") if name in node}
        return {**kept, "anyOf": [{n: v for n, v in node.items() if n not in kept}, _REFERENCE]}
    return {name: _loosened(value, name) for name, value in node.items() if name not in ("default", "examples")} | {
        name: node[name] for name in ("default", "examples") if name in node
    }


def _is_narrow(node: dict[str, Any]) -> bool:
    """Return True if the schema is of a single value and would reject the text of a reference."""
    kinds = node.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if set(kinds) & {"integer", "number", "boolean"}:
        return True
    return "string" in kinds and any(name in node for name in _TEXT_ONLY)

"""Environment files in pipeline.yaml, in the forms of Docker Compose: a path, or a list of paths and mappings."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from pipeline.base.schema import Shorthand

ENV_FILE = (
    "File of NAME=value lines, or a list of such files, relative to this file. A run of a commit reads the files of "
    "that commit. `environment` replaces a variable of a file, and a later file that of an earlier one. With `{path: "
    "FILE, required: false}` a file may be missing."
)
"""The description of `env_file`."""


def _path(value: str) -> str:
    if value.startswith("/") or "\0" in value or value.endswith("/") or not value:
        raise ValueError("must be the path of a file relative to this one, such as .env or deploy/web.env")
    return value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class EnvFile(Shorthand):
    """A file of NAME=value lines."""

    shorthand: ClassVar[str] = "path"

    path: Annotated[str, AfterValidator(_path)] = Field(description="Path, relative to this file.")
    required: bool = Field(True, description="Whether a missing file is an error.")


_FORM = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "required": {"type": "boolean", "default": True}},
    "required": ["path"],
    "additionalProperties": False,
}
EnvFiles = Annotated[
    tuple[EnvFile, ...],
    BeforeValidator(_listed),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"anyOf": [{"type": "string"}, _FORM]}}]}),
]

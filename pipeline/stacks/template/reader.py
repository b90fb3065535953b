"""The text of a template, in JSON or YAML."""

from __future__ import annotations

from pipeline.stacks.template.document import Document
from pipeline.stacks.template.error import TemplateError
from pipeline.stacks.template.json_reader import read_json
from pipeline.stacks.template.values import JSON, Path, slashed
from pipeline.stacks.template.yaml_reader import read_yaml

MAX_SIZE = 1_000_000
"""In bytes of UTF-8."""


def read_template(text: str, source: str) -> Document:
    """Read a template. A text that begins with a brace is JSON, any other one YAML. Raises `TemplateError`."""
    if len(text) > MAX_SIZE or len(text.encode(errors="replace")) > MAX_SIZE:
        raise TemplateError(f"Template may not exceed {MAX_SIZE} bytes in size.", source=source)
    text = text.removeprefix("\ufeff")
    document = read_json(text, source) if text.lstrip().startswith("{") else read_yaml(text, source)
    _check(dict(document.data), (), document)
    return document


def _check(value: JSON, path: Path, document: Document) -> None:
    """Raise `TemplateError` for null, and for text that is no Unicode, such as half of a surrogate pair."""
    # JSON has no other way to write the YAML `!GetAZs` without a value, and published templates have it.
    if value is None and path[-1:] != ("Fn::GetAZs",):
        raise document.error(f"[{slashed(path)}] 'null' values are not allowed in templates", path)
    if isinstance(value, str):
        _check_text(value, path, document)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key, path, document)
            _check(item, (*path, key), document)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check(item, (*path, index), document)


def _check_text(text: str, path: Path, document: Document) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise document.error("Template format error: text must be valid Unicode", path) from None

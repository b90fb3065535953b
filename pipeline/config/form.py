"""What to write in place of a value that has the wrong form, such as a text where a list is needed."""

from __future__ import annotations

import io
import shlex
from typing import Any, get_origin

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML

from pipeline.base.schema import Shorthand
from pipeline.config.document import KeyPath
from pipeline.config.model_path import as_model, field_of, item_of, keys_of

# Longer values are not repeated.
_MAX_SHOWN = 60
_COMMANDS = ("command", "entrypoint", "host_command")
_MAX_KEYS = 6


def form_hint(kind: Any, value: Any, path: KeyPath) -> str:
    """Return the hint for a value of the wrong form, where the type `kind` is needed. Empty if there is none."""
    if get_origin(kind) is tuple:
        written = _as_list(item_of(kind, value), value, path)
        return f"write {written}" if written else ""
    if get_origin(kind) is dict:
        has_items = isinstance(value, list) and any(isinstance(item, dict) for item in value)
        return "write a name in place of each dash" if has_items else ""
    model = as_model(kind)
    if model is None:
        return ""
    if written := _as_value_of_key(model, value):
        return f"write {written}"
    # The value may have had the form of the shorthand, and another mistake.
    return "" if issubclass(model, Shorthand) else _parts(model)


def in_flow_style(value: Any) -> str:
    """Return a value as it is written on one line of YAML: `{port: 8081}`, `[./check.sh, --fast]`, `20%`."""
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.width = True, 1000
    yaml.sort_base_mapping_type_on_output = False
    if isinstance(value, list):
        # YAML would leave out the braces of a mapping with one key.
        return f"[{', '.join(map(in_flow_style, value))}]"
    text = io.StringIO()
    # A value alone would get a mark of the end of the document.
    yaml.dump(value if isinstance(value, dict) else [value], text)
    found = text.getvalue().strip()
    return found if isinstance(value, dict) else found[1:-1]


def _as_list(item: Any, value: Any, path: KeyPath) -> str:
    """Return the list that was probably meant, or an empty text."""
    model = as_model(item)
    if isinstance(value, dict):
        return _short([value]) or "its first key with a dash: - KEY: value"
    if model is not None:
        if _is_valid(model, value):
            return _short([value])
        inner = _as_value_of_key(model, value) or getattr(model, "example", "")
        return f"[{inner}]" if inner else ""
    return _short(_words(value) if path and _is_command(path[-1], value) else [value])


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command) or [command]
    except ValueError:
        # It has a quote that is not closed.
        return [command]


def _as_value_of_key(model: type[BaseModel], value: Any) -> str:
    """Return the section that has `value` as its only key, if there is exactly one key for which it is valid."""
    if not value or isinstance(value, dict):
        return ""
    if isinstance(value, str) and _is_valid(model, {value: True}) and not _is_valid(model, {value: 1}):
        return _short({value: True})
    shorthand = model.shorthand if issubclass(model, Shorthand) else None
    sections = [
        {key: _words(value) if _is_command(key, value) else value} for key in keys_of(model) if key != shorthand
    ]
    fitting = [section for section in sections if _is_valid(model, section)]
    return _short(fitting[0]) if len(fitting) == 1 else ""


def _is_command(key: str | int, value: Any) -> bool:
    return isinstance(value, str) and key in _COMMANDS


def _is_valid(model: type[BaseModel], data: Any) -> bool:
    try:
        model.model_validate(data)
    except ValidationError:
        return False
    return True


def _parts(model: type[BaseModel]) -> str:
    if example := getattr(model, "example", ""):
        return f"write {example}"
    keys = keys_of(model)
    if not keys:
        return ""
    required = [key for key in keys if (field := field_of(model, key)) and field.is_required()]
    shown = [*required, *(key for key in keys if key not in required)][:_MAX_KEYS]
    more = len(keys) - len(shown)
    *others, last = [*shown, f"{more} more"] if more else shown
    return f"the keys are {', '.join(others)} and {last}" if others else f"the key is {last}"


def _short(value: Any) -> str:
    text = in_flow_style(value)
    return text if len(text) <= _MAX_SHOWN else ""

"""The text of a pipeline.yaml, as a person would write it."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

_MAX_FLOW = 90
# Lists and mappings that are short enough for one line are written so below these keys.
_FLOW_MAPS = frozenset({"health_check", "default_action", "secrets", "source", "rolling", "log", "action"})
_SECTIONS = frozenset({"build", "accessories", "deploy", "balancer"})
# Text that every reader of YAML takes for text.
_PLAIN = re.compile(r"[A-Za-z0-9_./$@%+=~^()<>;-][A-Za-z0-9_./${}:@%+=,~^()<>;*?!&|' -]*")
_BLOCK = re.compile(r"[!-~][ -~]*(\n+[ -~]*[!-~])*\n?")
_AMBIGUOUS = re.compile(
    r"[-+.]?[0-9][0-9a-fA-FxXoO_.:eE+-]*|\.(?:inf|nan)|~|null|true|false|yes|no|on|off|y|n|=|<<|-|---.*|\.\.\.",
    re.IGNORECASE,
)


def pipeline_text(content: Mapping[str, Any], head: str, comments: Mapping[tuple[str, ...], str] | None = None) -> str:
    """Return the text of a content, with the comment lines of `head` before it and `comments` after keys."""
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 4096
    yaml.allow_unicode = True
    root = _node(content, (), comments or {})
    for key in root:
        if key in _SECTIONS:
            root.yaml_set_comment_before_after_key(key, before="\n")
    out = io.StringIO()
    yaml.dump(root, out)
    text = re.sub(r"\n\s*\n+(?=\S)", "\n\n", out.getvalue()).replace("\n# \n", "\n\n").replace("\n#\n", "\n\n")
    for comment in (comments or {}).values():
        # ruamel.yaml writes one space or two, depending on the key before.
        text = text.replace(f": # {comment}", f":  # {comment}")
    return "".join(f"# {line}\n" for line in head.splitlines()) + text


def _node(value: Any, path: tuple[str, ...], comments: Mapping[tuple[str, ...], str]) -> Any:
    if isinstance(value, Mapping):
        mapping = CommentedMap({_key(key): _node(item, (*path, key), comments) for key, item in value.items()})
        is_group = path[-2:-1] == ("target_groups",)
        if path and _is_short(value) and (path[-1] in _FLOW_MAPS or path[-1] == "" or is_group):
            mapping.fa.set_flow_style()
        for key in value:
            if comment := comments.get((*path, key)):
                mapping.yaml_add_eol_comment(comment, _key(key))
        return mapping
    if isinstance(value, list):
        items = CommentedSeq([_node(item, (*path, ""), comments) for item in value])
        if _is_short(value) and not any(isinstance(item, Mapping) for item in value):
            items.fa.set_flow_style()
        return items
    return _scalar(value) if isinstance(value, str) else value


def _key(key: str) -> Any:
    return (
        key
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", key) and not _AMBIGUOUS.fullmatch(key)
        else DoubleQuotedScalarString(key)
    )


def _scalar(text: str) -> Any:
    if "\n" in text:
        return LiteralScalarString(text) if _BLOCK.fullmatch(text) else DoubleQuotedScalarString(text)
    if (
        _PLAIN.fullmatch(text)
        and not _AMBIGUOUS.fullmatch(text)
        and ": " not in text
        and text == text.strip()
        and not text.endswith(":")
    ):
        return text
    return DoubleQuotedScalarString(text)


def _is_short(value: Any) -> bool:
    text = str(value)
    return len(text) <= _MAX_FLOW and "\\n" not in text

"""Templates in YAML, as CloudFormation reads it: YAML 1.1 without aliases, with short forms of functions."""

from __future__ import annotations

import math
import warnings
from contextlib import suppress

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from pipeline.stacks.template.document import MAX_DEPTH, Document, Place, duplicate_key
from pipeline.stacks.template.error import TemplateError
from pipeline.stacks.template.short_tags import FUNCTIONS, argument
from pipeline.stacks.template.values import JSON, Path, dotted, slashed

_CORE = "tag:yaml.org,2002:"
_BOOLEANS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
_INTEGER_DIGITS = 400
_TEXT_TAGS = frozenset(f"{_CORE}{name}" for name in ("str", "timestamp", "value"))
_TAGS = _TEXT_TAGS | {f"{_CORE}{name}" for name in ("map", "seq", "null", "bool", "int", "float", "merge")}


def read_yaml(text: str, source: str) -> Document:
    """Read a template in YAML. Raises `TemplateError`. Of equal keys the last one counts, as in CloudFormation."""
    root = _compose(text, source)
    if not isinstance(root, MappingNode) or root.tag != f"{_CORE}map":
        raise TemplateError("Template format error: unsupported structure.", line=1, column=1, source=source)
    builder = _Builder(source)
    try:
        data = builder.mapping(root, ())
    except _SharedNode:
        raise _alias(text, source) from None
    return Document(source, data, builder.places, tuple(builder.warnings))


def _compose(text: str, source: str) -> Node | None:
    """Return the root node. None for an empty text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)
            return _parser().compose(text)  # type: ignore[no-any-return]
    except RecursionError:
        raise TemplateError(f"Template format error: nested deeper than {MAX_DEPTH} levels", source=source) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise _malformed(place, " ".join(filter(None, (error.context, error.problem))), source) from None
    except ReaderError as error:
        before = text[: error.position]
        place = (before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise _malformed(place, f"unprintable character {chr(error.character)!r}", source) from None
    except (YAMLError, ValueError) as error:
        raise _malformed((1, 1), str(error), source) from None


def _parser() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 1)
    return yaml


def _alias(text: str, source: str) -> TemplateError:
    """Return the error for the first alias. Nodes do not show where it was, so the text is parsed again."""
    event = next(event for event in _parser().parse(text) if isinstance(event, AliasEvent))
    return TemplateError(
        "Template error: YAML aliases are not allowed in CloudFormation templates",
        line=event.start_mark.line + 1,
        column=event.start_mark.column + 1,
        hint="write the value out",
        source=source,
    )


def _malformed(place: Place, detail: str, source: str) -> TemplateError:
    line, column = place
    reason = f"Template format error: YAML not well-formed. (line {line}, column {column})"
    return TemplateError(reason, line=line, column=column, hint=detail, source=source)


def _place(node: Node) -> Place:
    return node.start_mark.line + 1, node.start_mark.column + 1


class _SharedNode(Exception):
    """A node is in the document twice, so there is an alias."""


class _Builder:
    """Converts nodes into data and records their places."""

    def __init__(self, source: str) -> None:
        self._source = source
        self.places: dict[Path, Place] = {}
        self.warnings: list[str] = []
        self._seen: set[int] = set()

    def mapping(self, node: MappingNode, path: Path) -> dict[str, JSON]:
        result: dict[str, JSON] = {}
        for key, value in node.value:
            name = self._key(key, path)
            here = (*path, name)
            if name in result:
                self.warnings.append(duplicate_key(self._source, _place(key), here))
            self.places[here] = _place(key)
            result[name] = self._value(value, here)
        return result

    def _value(self, node: Node, path: Path) -> JSON:
        if len(path) > MAX_DEPTH:
            raise self._error(f"Template format error: nested deeper than {MAX_DEPTH} levels", node, path[:3])
        self._once(node)
        tag = str(node.tag)
        if (name := FUNCTIONS.get(tag)) is not None:
            here = (*path, name)
            self.places[here] = _place(node)
            return {name: argument(name, self._content(node, here, f"{_CORE}str"))}
        self._check_tag(node, path)
        return self._content(node, path, tag)

    def _once(self, node: Node) -> None:
        if id(node) in self._seen:
            raise _SharedNode
        self._seen.add(id(node))

    def _check_tag(self, node: Node, path: Path) -> None:
        if node.tag not in _TAGS:
            line, column = _place(node)
            reason = f"Template format error: YAML not well-formed. (line {line}, column {column})"
            raise self._error(reason, node, path, f"unsupported tag {str(node.tag).replace(_CORE, '!!')}")

    def _content(self, node: Node, path: Path, tag: str) -> JSON:
        if isinstance(node, MappingNode):
            return self.mapping(node, path)
        if isinstance(node, SequenceNode):
            for index, item in enumerate(node.value):
                self.places[(*path, index)] = _place(item)
            return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        return self._scalar(node, path, tag)

    def _key(self, node: Node, path: Path) -> str:
        if not isinstance(node, ScalarNode):
            raise self._error(
                f"Template format error: [{slashed(path)}] map keys must be strings; received a collection instead",
                node,
                path,
            )
        self._once(node)
        self._check_tag(node, path)
        text = str(node.value)
        tag = str(node.tag)
        if tag == f"{_CORE}merge":
            raise self._error("Template format error: YAML merge keys are not supported", node, path, "write it out")
        if tag in (f"{_CORE}int", f"{_CORE}float"):
            reason = f"[{slashed(path)}] map keys must be strings; received numeric [{text}] instead"
            raise self._error(f"Template format error: {reason}", node, path, f"write '{text}'")
        if tag == f"{_CORE}null":
            raise self._error(f"[{slashed(path)}] 'null' values are not allowed in templates", node, path)
        if tag == f"{_CORE}bool" and text.lower() in _BOOLEANS:
            return "true" if _BOOLEANS[text.lower()] else "false"
        return text

    def _scalar(self, node: ScalarNode, path: Path, tag: str) -> JSON:
        text = str(node.value)
        if node.style is not None or tag in _TEXT_TAGS:
            return text
        if tag == f"{_CORE}null":
            return None
        if tag == f"{_CORE}bool":
            # Unlike the resolver of ruamel.yaml, CloudFormation takes y and n for text.
            return _BOOLEANS.get(text.lower(), text)
        with suppress(ValueError):
            if tag == f"{_CORE}int" and len(text) <= _INTEGER_DIGITS:
                return _integer(text)
            if tag == f"{_CORE}float":
                return _float(text)
        raise self._error(f"Template format error: unsupported value {text[:40]!r}", node, path)

    def _error(self, reason: str, node: Node, path: Path, hint: str = "") -> TemplateError:
        line, column = _place(node)
        return TemplateError(reason, line=line, column=column, path=dotted(path), hint=hint, source=self._source)


def _integer(text: str) -> int:
    """Return an integer of YAML 1.1: also octal with a leading zero, and sexagesimal with colons."""
    digits = text.replace("_", "").lstrip("+-")
    sign = -1 if text.startswith("-") else 1
    if ":" in digits:
        return sign * round(_sexagesimal(digits))
    if digits[:2] in ("0b", "0x"):
        return sign * int(digits, 0)
    return sign * int(digits, 8 if digits[0] == "0" else 10)


def _float(text: str) -> float | str:
    """Return a float of YAML 1.1. Infinity and not-a-number are no JSON, and stay text."""
    digits = text.replace("_", "").lstrip("+-")
    if digits.lower() in (".inf", ".nan"):
        return text
    number = _sexagesimal(digits) if ":" in digits else float(digits)
    if not math.isfinite(number):
        return text
    return -number if text.startswith("-") else number


def _sexagesimal(digits: str) -> float:
    total = 0.0
    for part in digits.split(":"):
        total = total * 60 + float(part)
    return total

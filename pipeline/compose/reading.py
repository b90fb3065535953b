"""A Compose file as mappings and lists with places. Anchors and merge keys are resolved."""

from __future__ import annotations

import re
import warnings
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from pipeline.base.errors import ConfigError, Problem
from pipeline.compose.places import Map, Override, Place, Reset, Seq
from pipeline.compose.report import Report

_MAX_SIZE = 1024 * 1024
_MAX_DEPTH = 50
_MAX_NODES = 50_000
_CORE = "tag:yaml.org,2002:"
_TAGS = frozenset(f"{_CORE}{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp"))
_INTEGER = re.compile(r"[-+]?(0|[1-9]\d*)")
_FLOAT = re.compile(r"[-+]?(\.\d+|\d+\.\d*)([eE][-+]?\d+)?")
_CONSTANTS = {"null": None, "~": None, "": None, "true": True, "false": False}


def read_compose(text: str, file: str, report: Report) -> Map:
    """Return the content of a file. Duplicate keys and unknown tags become mistakes in `report`.

    Raises `ConfigError` for a text that is no mapping in YAML.
    """
    root = _composed(text, file)
    if root is None:
        raise _refused(file, 1, 1, "is empty", "write services:")
    if not isinstance(root, MappingNode):
        raise _refused(file, *_mark(root), "must be a mapping with services:")
    return _Builder(file, report).mapping(root, ())


def _composed(text: str, file: str) -> Node | None:
    if len(text) > _MAX_SIZE:
        raise _refused(file, 0, 0, f"must be at most {_MAX_SIZE // 1024} KiB")
    try:
        with warnings.catch_warnings():
            # YAML allows it, and the warning would go to the user's standard error.
            warnings.simplefilter("ignore", ReusedAnchorWarning)
            composed: Node | None = YAML(typ="safe", pure=True).compose(text.removeprefix("\ufeff"))
            return composed
    except RecursionError:
        raise _refused(file, 1, 1, f"is nested deeper than {_MAX_DEPTH} levels") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        reason = (error.problem or error.context or "is not valid YAML").strip()
        if "single document" in str(error.context or ""):
            raise _refused(file, line, column, "must contain one document", "remove ---") from error
        raise _refused(file, line, column, f"is not valid YAML: {reason}") from error
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _refused(file, line, 1, f"contains the unprintable character {chr(error.character)!r}") from error
    except (YAMLError, ValueError) as error:
        raise _refused(file, 1, 1, f"is not valid YAML: {error}") from error


def _refused(file: str, line: int, column: int, reason: str, hint: str = "") -> ConfigError:
    return ConfigError(source=file, problems=(Problem(line, column, "", reason, hint),))


def _mark(node: Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


class _Builder:
    """Converts nodes into values. Counts them, since aliases multiply them."""

    def __init__(self, file: str, report: Report) -> None:
        self._file = file
        self._report = report
        self._count = 0

    def mapping(self, node: MappingNode, path: tuple[str, ...]) -> Map:
        result = Map(self._place(node))
        merged: list[Map] = []
        for key, value in node.value:
            name = str(key.value) if isinstance(key, ScalarNode) else ""
            place, dotted = self._place(key), ".".join((*path, name))
            if not isinstance(key, ScalarNode):
                self._report.mistake(place, ".".join(path), "a key must be text")
            elif name == "<<" and key.style is None:
                merged += self._merged(value, (*path, name))
            elif name in result:
                first = result.places[name].line
                self._report.mistake(place, dotted, f"duplicate key; the first is on line {first}")
            else:
                result.put(name, self._value(value, (*path, name)), place)
        for other in merged:
            for name, content, place in other.entries():
                if name not in result:
                    result.put(name, content, place)
        return result

    def _merged(self, node: Node, path: tuple[str, ...]) -> list[Map]:
        """Return the mappings of a merge key, the first of which counts."""
        nodes = node.value if isinstance(node, SequenceNode) else [node]
        found = [self._value(each, path) for each in nodes]
        if not all(isinstance(each, Map) for each in found):
            self._report.mistake(self._place(node), ".".join(path), "must be a mapping, or a list of mappings")
        return [each for each in found if isinstance(each, Map)]

    def _value(self, node: Node, path: tuple[str, ...]) -> Any:
        self._count += 1
        if len(path) > _MAX_DEPTH:
            raise _refused(self._file, *_mark(node), f"is nested deeper than {_MAX_DEPTH} levels")
        if self._count > _MAX_NODES:
            raise _refused(self._file, *_mark(node), f"must have at most {_MAX_NODES} values, aliases included")
        tag = str(node.tag)
        if tag == "!reset":
            return Reset()
        if tag == "!override":
            return Override(self._content(node, path))
        if tag not in _TAGS:
            self._report.mistake(self._place(node), ".".join(path), f"unknown tag {tag}", "remove it")
            return None
        return self._content(node, path)

    def _content(self, node: Node, path: tuple[str, ...]) -> Any:
        if isinstance(node, MappingNode):
            return self.mapping(node, path)
        if isinstance(node, SequenceNode):
            items = Seq(self._place(node))
            for index, item in enumerate(node.value):
                items.add(self._value(item, (*path, str(index))), self._place(item))
            return items
        return _scalar(node) if isinstance(node, ScalarNode) else None

    def _place(self, node: Node) -> Place:
        return Place(self._file, *_mark(node))


def _scalar(node: ScalarNode) -> Any:
    text = str(node.value)
    if node.style is not None or node.tag == f"{_CORE}str":
        return text
    if text.lower() in _CONSTANTS and text in (text.lower(), text.title(), text.upper()):
        return _CONSTANTS[text.lower()]
    if _INTEGER.fullmatch(text) and len(text) < 19:
        return int(text)
    # One that is written exactly as Compose would write it, or else the text.
    return float(text) if _FLOAT.fullmatch(text) else text

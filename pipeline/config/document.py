"""A YAML file as plain data, with the position of every key and value. Ambiguous YAML is an error."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from pipeline.base.errors import ConfigError, Problem
from pipeline.config.name_line import name_in_lines

KeyPath = tuple[str | int, ...]
ANY_KEY = "*"
"""Stands for every key in the path of several places."""

_MAX_SIZE = 256 * 1024
_MAX_DEPTH = 50
_MAX_NODES = 10_000
_CORE = "tag:yaml.org,2002:"
_TAGS = frozenset(
    f"{_CORE}{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge")
)
_INTEGER = re.compile(r"[-+]?\d+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?")
_CONSTANTS = {"null": None, "~": None, "": None, "true": True, "false": False}


@dataclass
class Document:
    """The content of a YAML file. `data` omits keys without a value, which have their default.

    `keys` and `values` map a path to the line and column, from 1, of its key and its value. `texts` has numbers as they
    were written.
    """

    data: dict[str, Any] = field(default_factory=dict)
    keys: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    values: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    texts: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: KeyPath) -> tuple[int, int]:
        """Return line and column of the value at `path`, or of its nearest parent: an item of a list, or a key."""
        for length in range(len(path), -1, -1):
            is_item = length > 0 and isinstance(path[length - 1], int)
            if (found := self.values.get(path[:length])) is not None and (is_item or length == len(path)):
                return found
            if (found := self.keys.get(path[:length])) is not None:
                return found
        return (1, 1)

    def problem(self, path: KeyPath, reason: str, hint: str = "", *, at_key: bool = False) -> Problem:
        """Return a problem at the position of `path`."""
        line, column = self.keys.get(path, self.place(path)) if at_key else self.place(path)
        return Problem(line, column, dotted(path), reason, hint)


def mapping_at(data: Any, *keys: str) -> dict[str, Any]:
    """Return the mapping at a path of raw data. Empty if there is none."""
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def dotted(path: KeyPath) -> str:
    """Return a path as text, such as `balancer.load_balancers.edge.listeners[0]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def pipeline_name(path: Path) -> str | None:
    """Return the pipeline's name even if the rest of the file is invalid. None if missing or with a reference.

    Raises `ConfigError` if the file cannot be read, or is no YAML and no line shows the name.
    """
    content = _read(path)
    try:
        name = read_document(path, content).data.get("name")
    except ConfigError:
        if found := name_in_lines(content):
            return found
        raise
    return name if isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9-]+", name) else None


def read_document(path: Path, content: bytes | None = None) -> Document:
    """Read a file, or `content` under the file's name. Mistakes that do not prevent reading are in `problems`.

    Raises `ConfigError` if the file cannot be read or is not valid YAML.
    """
    text = _decoded(path, _read(path) if content is None else content)
    try:
        with warnings.catch_warnings():
            # YAML allows it, and the warning would go to the user's standard error.
            warnings.simplefilter("ignore", ReusedAnchorWarning)
            root = YAML(typ="safe", pure=True).compose(text)
    except RecursionError:
        raise _refused(path, Problem(1, 1, "", f"is nested deeper than {_MAX_DEPTH} levels")) from None
    except MarkedYAMLError as error:
        raise _refused(path, _syntax(error, text)) from error
    except (YAMLError, ValueError) as error:
        raise _refused(path, _unreadable(error, text)) from error
    if root is None:
        raise _refused(path, Problem(0, 0, "", "is empty", "create one with `pipeline init --force`"))
    if not isinstance(root, MappingNode):
        raise _refused(path, Problem(*_mark(root), "", "must be a mapping of keys such as name: and deploy:"))
    document = Document()
    try:
        _Builder(document).mapping(root, ())
    except _LimitExceeded as error:
        raise _refused(path, error.problem) from None
    return document


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_SIZE + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist", hint="create one with `pipeline init`") from None
    except IsADirectoryError:
        raise ConfigError(f"{path} is a directory", hint=f"name the file: {path / 'pipeline.yaml'}") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error


def _decoded(path: Path, raw: bytes) -> str:
    if len(raw) > _MAX_SIZE:
        raise _refused(path, Problem(0, 0, "", f"must be at most {_MAX_SIZE // 1024} KiB"))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        reason = f"is not UTF-8: byte 0x{raw[error.start]:02x}"
        raise _refused(path, Problem(line, column, "", reason, "save the file as UTF-8")) from None


def _refused(path: Path, problem: Problem) -> ConfigError:
    return ConfigError(source=str(path), problems=(problem,))


def _syntax(error: MarkedYAMLError, text: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    lines = text.splitlines()
    here = lines[line - 1] if line <= len(lines) else ""
    indentation = here[: len(here) - len(here.lstrip())]
    if "\t" in indentation:
        return Problem(line, indentation.index("\t") + 1, "", "indentation must not contain tabs", "use spaces")
    if "single document" in str(error.context or ""):
        return Problem(line, column, "", "a file must contain one document, and a second one starts here", "remove ---")
    reason = (error.problem or error.context or "is not valid YAML").strip()
    return Problem(line, column, "", reason)


def _unreadable(error: Exception, text: str) -> Problem:
    if isinstance(error, ReaderError):
        before = text[: error.position]
        column = len(before) - before.rfind("\n")
        reason = f"contains the unprintable character {chr(error.character)!r}"
        return Problem(before.count("\n") + 1, column, "", reason)
    return Problem(1, 1, "", f"is not valid YAML: {error}")


def _mark(node: Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


class _LimitExceeded(Exception):
    def __init__(self, node: Node, reason: str) -> None:
        super().__init__(reason)
        self.problem = Problem(*_mark(node), "", reason)


class _Builder:
    """Converts nodes into data and records their positions. Counts values, since aliases multiply them."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._count = 0

    def mapping(self, node: MappingNode, path: KeyPath) -> None:
        self._document.data = self._mapping(node, path)

    def _value(self, node: Node, path: KeyPath) -> Any:
        self._count += 1
        self._document.values[path] = _mark(node)
        if len(path) > _MAX_DEPTH:
            raise _LimitExceeded(node, f"is nested deeper than {_MAX_DEPTH} levels")
        if self._count > _MAX_NODES:
            raise _LimitExceeded(node, f"must have at most {_MAX_NODES} values, aliases included")
        if node.tag not in _TAGS:
            self._report(node, path, f"unknown tag {node.tag}", "remove it")
            return None
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path) if isinstance(node, ScalarNode) else None

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        seen: dict[str, Node] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self._report(key, path, "a key must be text")
                continue
            name = str(key.value)
            here = (*path, name)
            if name == "<<":
                self._report(key, here, "merge keys are not supported", "write the keys out")
            elif name in seen:
                self._report(key, here, f"duplicate key; the first is on line {_mark(seen[name])[0]}")
            else:
                seen[name] = key
                self._document.keys[here] = _mark(key)
                if (built := self._value(value, here)) is not None:
                    result[name] = built
                else:
                    # The mark of an empty value is at the next line. Errors should point at the key instead.
                    self._document.values[here] = _mark(key)
        return result

    def _scalar(self, node: ScalarNode, path: KeyPath) -> Any:
        text = str(node.value)
        if node.style is not None or node.tag == f"{_CORE}str":
            return text
        if text.lower() in _CONSTANTS and text in (text.lower(), text.title(), text.upper()):
            return _CONSTANTS[text.lower()]
        # For errors, which show a number as it is written.
        self._document.texts[path] = text
        if _INTEGER.fullmatch(text) and len(text) < 40:
            return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        return float(text) if _FLOAT.fullmatch(text) else text

    def _report(self, node: Node, path: KeyPath, reason: str, hint: str = "") -> None:
        self._document.problems.append(Problem(*_mark(node), dotted(path), reason, hint))

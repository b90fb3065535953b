"""Templates in JSON."""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import NoReturn

from pipeline.stacks.template.document import MAX_DEPTH, Document, Place, duplicate_key
from pipeline.stacks.template.error import TemplateError
from pipeline.stacks.template.values import Path, dotted

# Brackets, separators, strings, and other values. The text is known to be JSON.
_TOKEN = re.compile(r'[{}\[\],:]|"(?:[^"\\]|\\.)*"|[^\s{}\[\],:"]+')


def read_json(text: str, source: str) -> Document:
    """Read a template in JSON. Raises `TemplateError`. Of equal keys the last one counts, as in CloudFormation."""
    try:
        data = json.loads(text, parse_constant=_refuse_constant, parse_float=_float)
    except json.JSONDecodeError as error:
        raise _malformed(error.lineno, error.colno, error.msg, source) from None
    except RecursionError:
        raise TemplateError(f"Template format error: nested deeper than {MAX_DEPTH} levels", source=source) from None
    except ValueError as error:
        raise _malformed(1, 1, str(error), source) from None
    if not isinstance(data, dict):
        raise TemplateError("Template format error: unsupported structure.", line=1, column=1, source=source)
    scanner = _Scanner(text, source)
    places = dict(scanner.places())
    return Document(source, data, places, tuple(scanner.warnings))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number


def _malformed(line: int, column: int, detail: str, source: str) -> TemplateError:
    reason = f"Template format error: JSON not well-formed. (line {line}, column {column})"
    return TemplateError(reason, line=line, column=column, hint=detail, source=source)


class _Scanner:
    """Finds the place of each key, and of each item of a list, in a text that is known to be JSON."""

    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]
        self._path: list[str | int] = []
        # For each open object None, for each open list the index of its item.
        self._open: list[int | None] = []
        self._key_expected = False
        # The keys so far of each open object.
        self._keys: list[set[str]] = []
        self.warnings: list[str] = []

    def places(self) -> Iterator[tuple[Path, Place]]:
        """Yield path and place, in the order of the text."""
        for match in _TOKEN.finditer(self._text):
            symbol, offset = match[0], match.start()
            if symbol in "}]":
                self._close()
            elif symbol == ",":
                self._next()
            elif self._key_expected:
                yield self._key(json.loads(symbol), offset), self._place(offset)
            elif symbol != ":":
                if self._open and (index := self._open[-1]) is not None:
                    yield self._enter(index), self._place(offset)
                if symbol in "{[":
                    self._begin(symbol, offset)

    def _begin(self, symbol: str, offset: int) -> None:
        self._open.append(None if symbol == "{" else 0)
        self._keys.append(set())
        self._key_expected = symbol == "{"
        if len(self._open) > MAX_DEPTH:
            line, column = self._place(offset)
            reason = f"Template format error: nested deeper than {MAX_DEPTH} levels"
            raise TemplateError(
                reason, line=line, column=column, path=dotted(tuple(self._path[:3])), source=self._source
            )

    def _key(self, key: str, offset: int) -> Path:
        self._key_expected = False
        path = self._enter(key)
        if key in self._keys[-1]:
            self.warnings.append(duplicate_key(self._source, self._place(offset), path))
        self._keys[-1].add(key)
        return path

    def _next(self) -> None:
        index = self._open[-1]
        self._key_expected = index is None
        self._open[-1] = None if index is None else index + 1

    def _close(self) -> None:
        self._open.pop()
        self._keys.pop()
        del self._path[len(self._open) :]
        self._key_expected = False

    def _enter(self, part: str | int) -> Path:
        self._path[len(self._open) - 1 :] = [part]
        return tuple(self._path)

    def _place(self, offset: int) -> Place:
        line = bisect_right(self._lines, offset)
        return line, offset - self._lines[line - 1] + 1

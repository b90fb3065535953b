"""The expansion of a word of a Dockerfile: variables put in, quotes and escapes removed, as Docker does it."""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]|[@*#]")
_OPERATORS = (":-", ":+", ":?", "##", "%%", "//", "-", "+", "?", "#", "%", "/")
# What a backslash escapes within double quotes.
_ESCAPED_IN_QUOTES = '"$'


class BadSubstitution(ValueError):
    """Docker refuses the word."""


def expand(word: str, values: Mapping[str, str], escape: str = "\\") -> str:
    """Return a word with the values of its variables. Raises `BadSubstitution` if Docker would refuse it."""
    return _Expansion(word, values, escape).until("")


class _Expansion:
    """One pass over a word. `_at` is the place of the next character."""

    def __init__(self, word: str, values: Mapping[str, str], escape: str) -> None:
        self._word = word
        self._values = values
        self._escape = escape
        self._at = 0

    def until(self, end: str) -> str:
        """Return what stands before the character `end`, and pass over it. An empty `end` is that of the word."""
        parts = []
        while (char := self._next()) != end:
            if not char:
                raise BadSubstitution(f"{end} is missing")
            if char == "'":
                parts.append(self._literal())
            elif char == '"':
                parts.append(self._quoted())
            elif char == "$":
                parts.append(self._variable())
            else:
                parts.append(self._next() if char == self._escape else char)
        return "".join(parts)

    def _next(self) -> str:
        char = self._word[self._at : self._at + 1]
        self._at += len(char)
        return char

    def _literal(self) -> str:
        end = self._word.find("'", self._at)
        if end < 0:
            raise BadSubstitution("a quote is not closed")
        text, self._at = self._word[self._at : end], end + 1
        return text

    def _quoted(self) -> str:
        parts = []
        while (char := self._next()) != '"':
            if not char:
                raise BadSubstitution("a quote is not closed")
            if char == "$":
                parts.append(self._variable())
            elif char == self._escape:
                escaped = self._next()
                parts.append(escaped if escaped in (*_ESCAPED_IN_QUOTES, char) else char + escaped)
            else:
                parts.append(char)
        return "".join(parts)

    def _variable(self) -> str:
        braces = self._word.startswith("{", self._at)
        name = _NAME.match(self._word, self._at + braces)
        if name is None:
            if braces:
                raise BadSubstitution("a name is missing")
            return "$"
        self._at = name.end()
        if not braces:
            return self._values.get(name[0], "")
        if self._word.startswith("}", self._at):
            self._at += 1
            return self._values.get(name[0], "")
        return self._modified(name[0])

    def _modified(self, name: str) -> str:
        operator = next((o for o in _OPERATORS if self._word.startswith(o, self._at)), "")
        if not operator:
            raise BadSubstitution(f"the modifier of {name} is unknown")
        self._at += len(operator)
        if operator.startswith("/"):
            pattern = self.until("/")
            replaced = self.until("}")
            return _glob(pattern).sub(lambda _: replaced, self._values.get(name, ""), count=operator == "/")
        word, value = self.until("}"), self._values.get(name, "")
        given = bool(value) if operator.startswith(":") else name in self._values
        match operator[-1]:
            case "-":
                return value if given else word
            case "+":
                return word if given else ""
            case "?":
                if not given:
                    raise BadSubstitution(f"{name}: {word}")
                return value
            case _:
                return _trimmed(value, word, operator)


def _trimmed(value: str, pattern: str, operator: str) -> str:
    """Return a value without the shortest, or with a doubled operator the longest, match at its begin or end."""
    glob, lengths = _glob(pattern), range(len(value) + 1)
    for length in reversed(lengths) if len(operator) == 2 else lengths:
        cut = length if operator.startswith("#") else len(value) - length
        if glob.fullmatch(value[:cut] if operator.startswith("#") else value[cut:]):
            return value[cut:] if operator.startswith("#") else value[:cut]
    return value


def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile("".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern), re.DOTALL)

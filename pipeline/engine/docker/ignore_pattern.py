"""One pattern of a `.dockerignore` file."""

from __future__ import annotations

from functools import cached_property

from pipeline.engine.docker.go_path_match import BadPathPattern, check_path_pattern
from pipeline.engine.docker.go_regexp import BadRegexp, Step, parse_regexp, search

_ESCAPED = frozenset(".+(){}$")


class BadPattern(ValueError):
    """A pattern that Docker refuses. The text names it and the reason."""


class IgnorePattern:
    """A cleaned pattern, from line `line`. `is_exception` is True if it brings files back. `text` is without the `!`.

    Raises `BadPattern` for what Docker refuses before it reads a file.
    """

    def __init__(self, pattern: str, line: int) -> None:
        self.line = line
        self.is_exception = pattern.startswith("!")
        self.text = pattern.removeprefix("!")
        if not self.text:
            raise BadPattern("an exception needs a pattern after the !")
        try:
            check_path_pattern(self.text)
        except BadPathPattern as error:
            raise BadPattern(f"{pattern!r} is not a valid pattern: {error}") from None

    def matches(self, path: str) -> bool:
        """Return whether the pattern matches this path itself. Raises `BadPattern` if Docker refuses it on use."""
        kind, alternatives = self._compiled
        if kind == "exact":
            return path == self.text
        if kind == "prefix":
            return path.startswith(self.text[:-2])
        if kind == "suffix":
            suffix = self.text[2:]
            return path.endswith(suffix) or (suffix.startswith("/") and path == suffix[1:])
        return search(alternatives, _replace_bytes(path))

    @cached_property
    def _compiled(self) -> tuple[str, list[list[Step]]]:
        kind, expression = _translate(_replace_bytes(self.text).removeprefix("\ufeff"))
        try:
            return kind, parse_regexp(expression) if kind == "regexp" else []
        except BadRegexp as error:
            raise BadPattern(f"{self.text!r} is not a valid pattern: {error}") from None


def _replace_bytes(text: str) -> str:
    """Return a text with bytes that are not UTF-8 as Go's `regexp` sees them: each as the replacement character."""
    return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)


def _translate(pattern: str) -> tuple[str, str]:
    """Return how Docker matches a pattern, and the regular expression that it makes of it.

    Docker knows nothing of classes here, so the `*` of `[*]` is translated too, and `[*]` matches no `*`. It leaves `|`
    and `^` as they are, so that in a pattern with a wildcard they mean what they mean to `regexp`.
    """
    kind, parts, position = "exact", ["^"], 0
    while position < len(pattern):
        character, at_start = pattern[position], position == 0
        position += 1
        if pattern.startswith("**", position - 1):
            position += 1
            position += pattern.startswith("/", position)
            at_end = position == len(pattern)
            parts.append(".*" if at_end else "(.*/)?")
            kind = "suffix" if at_start else "prefix" if at_end and kind == "exact" else "regexp"
        elif character in "*?":
            parts.append("[^/]*" if character == "*" else "[^/]")
            kind = "regexp"
        elif character in _ESCAPED:
            parts.append(f"\\{character}")
        elif character == "\\" and position < len(pattern):
            parts.append(pattern[position - 1 : position + 1])
            position += 1
            kind = "regexp"
        else:
            parts.append("\\\\" if character == "\\" else character)
            kind = "regexp" if character in "[]" else kind
    return kind, f"{''.join(parts)}$"

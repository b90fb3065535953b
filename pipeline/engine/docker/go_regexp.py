"""Regular expressions of Go, as far as Docker makes them of the patterns in a `.dockerignore`.

A text is matched in time proportional to its length, since the patterns come from a commit. Each step maps the
positions that the steps before it reached to those that it reaches.
"""

from __future__ import annotations

import re
from collections.abc import Callable

Ranges = list[tuple[int, int]]
Step = Callable[[str, set[int]], set[int]]

_LAST = 0x10FFFF
_PERL = {"d": "0-9", "s": "\t-\n\f-\r -\x20", "w": "0-9A-Z_-_a-z"}
_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": "\x00-\x7f",
    "blank": "\t-\t - ",
    "cntrl": "\x00-\x1f\x7f-\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@[-`{-~",
    "space": "\t-\r - ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_-_",
    "xdigit": "0-9A-Fa-f",
}
_CONTROL = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_ASSERTIONS = {"^": r"\A", "$": r"\Z", r"\A": r"\A", r"\z": r"\Z", r"\b": r"\b", r"\B": r"\B"}
_OCTAL = re.compile(r"0[0-7]{0,2}|[1-7][0-7]{1,2}")
_HEX = re.compile(r"x([0-9A-Fa-f]{2})")
_FOLDERS = "(.*/)?"


class BadRegexp(ValueError):
    """An expression that Go refuses."""


def search(alternatives: list[list[Step]], text: str) -> bool:
    """Return whether one of the alternatives matches anywhere in the text."""
    return any(_reached(steps, text) for steps in alternatives)


def _reached(steps: list[Step], text: str) -> set[int]:
    positions = set(range(len(text) + 1))
    for step in steps:
        positions = step(text, positions)
    return positions


def parse_regexp(expression: str) -> list[list[Step]]:
    """Return the alternatives of an expression. Raises `BadRegexp` if Go refuses it."""
    alternatives: list[list[Step]] = [[]]
    position = 0
    while position < len(expression):
        if expression[position] == "|":
            alternatives.append([])
            position += 1
        else:
            steps, position = _term(expression, position)
            alternatives[-1] += steps
    return alternatives


def _term(expression: str, position: int) -> tuple[list[Step], int]:
    """Return the steps of the term at a position, and the position behind it."""
    for text, assertion in _ASSERTIONS.items():
        if expression.startswith(text, position):
            return [_assertion(assertion)], position + len(text)
    if expression.startswith(_FOLDERS, position):
        return [_folders], position + len(_FOLDERS)
    if expression.startswith(r"\Q", position):
        quoted, _, _ = expression[position + 2 :].partition(r"\E")
        return [_one([(ord(c), ord(c))]) for c in quoted], position + 2 + len(quoted) + 2
    ranges, position = _atom(expression, position)
    if expression.startswith("*", position):
        return [_many(ranges)], position + 1
    return [_one(ranges)], position


def _atom(expression: str, position: int) -> tuple[Ranges, int]:
    """Return the characters that the atom at a position matches, and the position behind it."""
    character = expression[position]
    if character == "[":
        return _class(expression, position + 1)
    if character == ".":
        return _complement([(10, 10)]), position + 1
    if character == "\\":
        return _escape(expression, position + 1)
    return [(ord(character), ord(character))], position + 1


def _class(expression: str, position: int) -> tuple[Ranges, int]:
    negated = expression.startswith("^", position)
    position += negated
    ranges: Ranges = []
    first = True
    while first or not expression.startswith("]", position):
        first = False
        found, position = _class_item(expression, position)
        ranges += found
    return (_complement(ranges) if negated else ranges), position + 1


def _class_item(expression: str, position: int) -> tuple[Ranges, int]:
    """Return the characters of a named class, a character or a range."""
    end = expression.find(":]", position + 2)
    if expression.startswith("[:", position) and end >= 0:
        name = expression[position + 2 : end]
        if name.removeprefix("^") not in _POSIX:
            raise BadRegexp(f"[:{name}:] is not a class")
        ranges = _ranges(_POSIX[name.removeprefix("^")])
        return (_complement(ranges) if name.startswith("^") else ranges), end + 2
    low, position = _class_character(expression, position)
    # A `-` before the closing bracket is itself.
    is_range = expression.startswith("-", position) and expression[position + 1 : position + 2] not in ("", "]")
    if not is_range or len(low) != 1 or low[0][0] != low[0][1]:
        return low, position
    high, position = _class_character(expression, position + 1)
    if len(high) != 1 or high[0][0] != high[0][1] or high[0][0] < low[0][0]:
        raise BadRegexp("a range in brackets ends before it begins")
    return [(low[0][0], high[0][0])], position


def _class_character(expression: str, position: int) -> tuple[Ranges, int]:
    if position >= len(expression):
        raise BadRegexp("a [ is not closed")
    if expression[position] == "\\":
        return _escape(expression, position + 1)
    return [(ord(expression[position]), ord(expression[position]))], position + 1


def _escape(expression: str, position: int) -> tuple[Ranges, int]:
    """Return the characters that an escape means, and the position after it. `position` is after the backslash."""
    character = expression[position : position + 1]
    if ranges := _PERL.get(character.lower()):
        return (_complement(_ranges(ranges)) if character.isupper() else _ranges(ranges)), position + 1
    if octal := _OCTAL.match(expression, position):
        return [(int(octal[0], 8),) * 2], octal.end()
    if digits := _HEX.match(expression, position):
        return [(int(digits[1], 16),) * 2], digits.end()
    code = _CONTROL.get(character)
    if code is None and (not character.isascii() or character.isalnum() or not character):
        raise BadRegexp(f"\\{character} is unknown, or a Unicode class, which Penstock does not support")
    return [(code or ord(character),) * 2], position + 1


def _ranges(text: str) -> Ranges:
    return [(ord(text[index]), ord(text[index + 2])) for index in range(0, len(text), 3)]


def _complement(ranges: Ranges) -> Ranges:
    gaps, begin = [], 0
    for low, high in sorted(ranges):
        if begin < low:
            gaps.append((begin, low - 1))
        begin = max(begin, high + 1)
    return [*gaps, (begin, _LAST)] if begin <= _LAST else gaps


def _one(ranges: Ranges) -> Step:
    return lambda text, positions: {p + 1 for p in positions if p < len(text) and _contains(ranges, text[p])}


def _many(ranges: Ranges) -> Step:
    def step(text: str, positions: set[int]) -> set[int]:
        reached = set(positions)
        for position in range(min(positions, default=len(text)), len(text)):
            if position in reached and _contains(ranges, text[position]):
                reached.add(position + 1)
        return reached

    return step


def _folders(text: str, positions: set[int]) -> set[int]:
    """Skip any number of folders, also none."""
    line = _many(_complement([(10, 10)]))(text, positions)
    return positions | {p + 1 for p in line if p < len(text) and text[p] == "/"}


def _assertion(expression: str) -> Step:
    pattern = re.compile(expression, re.ASCII)
    return lambda text, positions: positions & {found.start() for found in pattern.finditer(text)}


def _contains(ranges: Ranges, character: str) -> bool:
    code = ord(character)
    return any(low <= code <= high for low, high in ranges)

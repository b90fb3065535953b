"""The length of text up to which a regular expression is sure to be evaluated.

PCRE, without its just-in-time compiler, gives up after ten million steps. HAProxy then treats the text as not matching,
so a rule that denies requests lets this one pass. The number of steps grows with the power of the text's length: by one
for each repetition that may have to be tried again at another length. The estimate errs on the side of too many steps.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any

# Python's own parser of regular expressions. Its tree has no public name.
_parser: Any = import_module("re._parser")
_constants: Any = import_module("re._constants")

_MAX_STEPS = 10_000_000
# With repetitions inside of repetitions, the steps double with each character.
_EXPONENTIAL = math.inf
_EXPONENTIAL_LENGTH = int(math.log2(_MAX_STEPS))

Item = tuple[Any, Any]


@lru_cache(maxsize=256)
def safe_length(regex: str) -> int | None:
    """Return the number of characters up to which the expression is sure to be evaluated, or None for any number."""
    items = list(_parser.parse(regex))
    power = _power(items)
    if power == 0:
        return None
    if power == _EXPONENTIAL:
        return _EXPONENTIAL_LENGTH
    # An expression that may begin anywhere is tried at each character.
    power += not _is_anchored(items)
    return int((_MAX_STEPS * math.factorial(int(power))) ** (1 / power)) if power > 1 else None


def _is_anchored(items: Sequence[Item]) -> bool:
    name, value = items[0]
    if name is _constants.SUBPATTERN:
        return _is_anchored(list(value[3]))
    return bool(name is _constants.AT or _is_any_text(items[0]))


def _is_any_text(item: Item) -> bool:
    """Return whether an item is `.*`, which PCRE does not try again at the next character."""
    name, value = item
    return bool(name in _REPEATS and value[1] is _constants.MAXREPEAT and next(iter(value[2]))[0] is _constants.ANY)


def _power(items: Sequence[Item]) -> float:
    """Return the power of the text's length with which the steps of a sequence grow."""
    return sum(_item_power(item, items[number + 1 :]) for number, item in enumerate(items))


def _item_power(item: Item, following: Sequence[Item]) -> float:
    name, value = item
    if name in _REPEATS:
        return _repeat_power(value, following)
    if name is _constants.SUBPATTERN:
        return _power([*value[3], *following]) - _power(following)
    if name is _constants.BRANCH:
        return max(_power(list(branch)) for branch in value[1])
    if name in (_constants.ASSERT, _constants.ASSERT_NOT):
        return _power(list(value[1]))
    return 0


_REPEATS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT)


def _repeat_power(value: Any, following: Sequence[Item]) -> float:
    _, most, inner = value
    inside = _power(list(inner))
    if most is not _constants.MAXREPEAT:
        return inside
    if len(inner) > 1 or inner[0][0] in (_constants.SUBPATTERN, _constants.BRANCH):
        return inside + 1 if _has_separator(list(inner)) or not _has_repeat(list(inner)) else _EXPONENTIAL
    # What follows cannot be part of the repetition, or nothing follows: it has one length only.
    if not following or (following[0][0] is _constants.LITERAL and not _matches(inner[0], chr(following[0][1]))):
        return 0
    return 1


def _has_repeat(items: Sequence[Item]) -> bool:
    return any(
        name in _REPEATS or name is _constants.BRANCH or (name is _constants.SUBPATTERN and _has_repeat(list(value[3])))
        for name, value in items
    )


def _has_separator(items: Sequence[Item]) -> bool:
    """Return whether a sequence has a character that none of its repetitions can match, so it has one reading only."""
    if len(items) == 1 and items[0][0] is _constants.SUBPATTERN:
        return _has_separator(list(items[0][1][3]))
    repeated = [next(iter(value[2])) for name, value in items if name in _REPEATS and len(value[2]) == 1]
    whole = all(name is _constants.LITERAL or (name in _REPEATS and len(value[2]) == 1) for name, value in items)
    literals = [chr(value) for name, value in items if name is _constants.LITERAL]
    return whole and any(not any(_matches(item, literal) for item in repeated) for literal in literals)


def _matches(item: Item, character: str) -> bool:
    """Return whether an item that stands for one character may match it. Unknown ones may match any."""
    name, value = item
    if name is _constants.LITERAL:
        return bool(value == ord(character))
    if name is _constants.NOT_LITERAL:
        return bool(value != ord(character))
    if name is not _constants.IN:
        return True
    negated = value[0][0] is _constants.NEGATE
    found = any(_in_set(part, character) for part in value)
    return found != negated


_CATEGORIES = {
    _constants.CATEGORY_DIGIT: r"\d",
    _constants.CATEGORY_NOT_DIGIT: r"\D",
    _constants.CATEGORY_WORD: r"\w",
    _constants.CATEGORY_NOT_WORD: r"\W",
    _constants.CATEGORY_SPACE: r"\s",
    _constants.CATEGORY_NOT_SPACE: r"\S",
}


def _in_set(part: Item, character: str) -> bool:
    name, value = part
    if name is _constants.LITERAL:
        return bool(value == ord(character))
    if name is _constants.RANGE:
        return bool(value[0] <= ord(character) <= value[1])
    if name is _constants.CATEGORY:
        return re.fullmatch(_CATEGORIES[value], character, re.ASCII) is not None
    return False

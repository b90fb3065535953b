"""The length of text up to which a regular expression is sure to be evaluated.

PCRE, without its just-in-time compiler, gives up after ten million steps. HAProxy then treats the text as not matching,
so a rule that denies requests lets this one pass. The number of steps grows with the power of the text's length: by one
for each repetition that may have to be tried again at another length. A repetition with bounds multiplies the steps by
the number of its lengths. The estimate errs on the side of too many steps.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any, NamedTuple

# Python's own parser of regular expressions. Its tree has no public name.
_parser: Any = import_module("re._parser")
_constants: Any = import_module("re._constants")

_MAX_STEPS = 10_000_000
# With repetitions inside of repetitions, the steps double with each character.
_EXPONENTIAL = math.inf
_EXPONENTIAL_LENGTH = int(math.log2(_MAX_STEPS))
# Parts that may match nothing, a fixed number of times: each character may be in any of up to some hundred of them.
_OPTIONAL_LENGTH = 3
# Above this product of bounds, bounded repetitions count as unbounded ones.
_MAX_PRODUCT = 500
# Beyond HAProxy's limit for the head of a request.
_ANY_LENGTH = 2**16

Item = tuple[Any, Any]


class Cost(NamedTuple):
    """The steps of a part: at most `factor` times the text's length to the power of `power`."""

    power: float = 0
    factor: float = 1

    def times(self, other: Cost) -> Cost:
        """Return the cost of two parts, one after the other."""
        return Cost(self.power + other.power, self.factor * other.factor)


@lru_cache(maxsize=256)
def safe_length(regex: str) -> int | None:
    """Return the number of characters up to which the expression is sure to be evaluated, or None for any number."""
    items = list(_parser.parse(regex))
    estimate = _Estimate(bounds_count=True)
    cost = estimate.sequence(items)
    if cost.factor > _MAX_PRODUCT:
        estimate = _Estimate(bounds_count=False)
        cost = estimate.sequence(items)
    if estimate.has_optional_group or cost.factor >= _MAX_STEPS:
        return _OPTIONAL_LENGTH
    if cost.power == _EXPONENTIAL:
        return _EXPONENTIAL_LENGTH
    # An expression that may begin anywhere is tried at each character.
    power = cost.power + (not _is_anchored(items))
    if power == 0:
        return None
    length = int((_MAX_STEPS * math.factorial(int(power)) / cost.factor) ** (1 / power))
    return length if length < _ANY_LENGTH and (power > 1 or cost.factor > _MAX_PRODUCT) else None


def _is_anchored(items: Sequence[Item]) -> bool:
    if not items:
        return False
    name, value = items[0]
    if name is _constants.SUBPATTERN:
        return _is_anchored(list(value[3]))
    return bool(name is _constants.AT or _is_any_text(items[0]))


def _is_any_text(item: Item) -> bool:
    """Return whether an item is `.*`, which PCRE does not try again at the next character."""
    name, value = item
    return bool(name in _REPEATS and value[1] is _constants.MAXREPEAT and next(iter(value[2]))[0] is _constants.ANY)


_REPEATS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT)


class _Estimate:
    """An estimate of steps. Bounded repetitions count by their bounds, or as if they were unbounded."""

    def __init__(self, *, bounds_count: bool) -> None:
        self._bounds_count = bounds_count
        self.has_optional_group = False

    def sequence(self, items: Sequence[Item], following: Sequence[Item] = ()) -> Cost:
        cost = Cost()
        for number, item in enumerate(items):
            cost = cost.times(self._item(item, [*items[number + 1 :], *following]))
        return cost

    def _item(self, item: Item, following: Sequence[Item]) -> Cost:
        name, value = item
        if name in _REPEATS:
            return self._repeat(value, following)
        if name is _constants.SUBPATTERN:
            return self.sequence(list(value[3]), following)
        if name is _constants.BRANCH:
            return self._highest(value[1])
        if name is _constants.GROUPREF_EXISTS:
            return self._highest([branch for branch in value[1:] if branch])
        # What is inside is tried on its own.
        if name is _constants.ATOMIC_GROUP:
            return self.sequence(list(value))
        if name in (_constants.ASSERT, _constants.ASSERT_NOT):
            return self.sequence(list(value[1]))
        return Cost()

    def _highest(self, branches: Sequence[Sequence[Item]]) -> Cost:
        costs = [self.sequence(list(branch)) for branch in branches]
        return Cost(max(cost.power for cost in costs), max(cost.factor for cost in costs) * _readings(branches))

    def _repeat(self, value: Any, following: Sequence[Item]) -> Cost:
        least, most, inner = value
        items = list(inner)
        is_group = len(items) > 1 or items[0][0] in (_constants.SUBPATTERN, _constants.BRANCH, *_REPEATS)
        if most is not _constants.MAXREPEAT and (self._bounds_count or most <= 1):
            return self._bounded(least, most, items, following, is_group=is_group)
        if is_group:
            # A repetition without an upper bound does not repeat what matches nothing.
            self.has_optional_group |= least > 1 and inner.getwidth()[0] == 0
            if not _has_separator(items) and _has_repeat(items):
                return Cost(_EXPONENTIAL)
            return self.sequence(items).times(Cost(power=1))
        return Cost() if least == most or _has_one_length(items, following) else Cost(power=1)

    def _bounded(
        self, least: int, most: int, items: Sequence[Item], following: Sequence[Item], *, is_group: bool
    ) -> Cost:
        """Return the cost of a repetition with an upper bound.

        A single item costs a factor, the number of lengths that are tried. A group costs as much as `most` copies of
        it, each the dearer of two: one before another repetition, or the last one before what follows.
        """
        lengths = most - least + 1
        if not is_group:
            return Cost() if _has_one_length(items, following) else Cost(factor=lengths)
        again, last = self.sequence(items, [*items, *following]), self.sequence(items, following)
        try:
            return Cost(max(again.power, last.power) * most, lengths * max(again.factor, last.factor) ** most)
        except OverflowError:
            return Cost(_EXPONENTIAL, math.inf)


def _has_one_length(items: Sequence[Item], following: Sequence[Item]) -> bool:
    """Return whether what follows cannot be part of the repetition of an item, or nothing follows."""
    if not following:
        return True
    name, value = following[0]
    return name is _constants.LITERAL and not _matches(items[0], chr(value))


def _readings(branches: Sequence[Sequence[Item]]) -> int:
    """Return the most branches that may match at the same place."""
    firsts = [branch[0] if len(branch) else (None, None) for branch in branches]
    literals = Counter(value for name, value in firsts if name is _constants.LITERAL)
    return max(1, len(firsts) - literals.total() + max(literals.values(), default=0))


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
    """Return whether an item that stands for one character may match it, in any case. Unknown ones may match any."""
    return any(_matches_exactly(item, each) for each in {character, character.swapcase()})


def _matches_exactly(item: Item, character: str) -> bool:
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

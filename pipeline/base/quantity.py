"""Quantities in configuration files: durations `500ms`, sizes `256MiB`, amounts `2` or `25%`, percentages `0.5%`."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
)
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_before_validator_function, no_info_wrap_validator_function

from pipeline.base.written import written

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_NAMED_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)(?:ec|econd|in|inute|r|our|ay)?s?", re.IGNORECASE)
# 100 years. Longer ones overflow when they are added to a date, or in Docker's nanoseconds.
_LONGEST = timedelta(days=36_500)
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:[bB]|([kKmMgGtTpP])(?:[iI]?[bB])?)?")
_PERCENTAGE = re.compile(r"\d{1,3}(\.\d{1,6})?%")
# What Docker can hold with swap on top.
_MAX_SIZE = 2**62 - 1
_BYTES = {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "p": 2**50}


def parse_duration(text: Any) -> timedelta:
    """Parse `500ms`, `30s`, `2m`, `1h` or a sum such as `1m30s`. A number without a unit is an error."""
    if isinstance(text, timedelta):
        return text
    parts = _DURATION.findall(text) if isinstance(text, str) else []
    if not parts or "".join(n + u for n, u in parts) != text:
        raise ValueError(f"{written(text)} is not a valid duration; write {_durations_meant(text)}")
    try:
        value = timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in parts))
    except OverflowError:
        value = timedelta.max
    if value > _LONGEST:
        raise ValueError(f"{text!r} is too long")
    if value % timedelta(milliseconds=1):
        raise ValueError(f"{text!r} is finer than a millisecond")
    return value


def _durations_meant(text: Any) -> str:
    """Return durations to write: those of a number that has no unit, or of one with the name of its unit."""
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        return f"{text}ms, {text}s, {text}m or {text}h" if text else "0s"
    named = _NAMED_DURATION.fullmatch(text) if isinstance(text, str) else None
    return f"{named[1]}{named[2].lower()}" if named else "500ms, 30s, 2m or 1h"


def is_duration(text: Any) -> bool:
    """Return whether `parse_duration` accepts a text."""
    try:
        return isinstance(text, str) and parse_duration(text) is not None
    except ValueError:
        return False


def format_duration(value: timedelta) -> str:
    """Return a duration in the largest unit that divides it. `parse_duration` reads it back."""
    milliseconds = round(value / timedelta(milliseconds=1))
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


def milliseconds(value: timedelta) -> int:
    """Return the duration in whole milliseconds, HAProxy's smallest unit."""
    return round(value / timedelta(milliseconds=1))


def parse_size(text: Any) -> int:
    """Parse `256MiB`, `1GiB`, `512m` or a number of bytes into bytes.

    As for Docker and Compose, all units are binary, in upper or lower case: `512M`, `512mb` and `512MiB` are equal.
    """
    match = _SIZE.fullmatch(str(text)) if not isinstance(text, bool) else None
    if match is None:
        raise ValueError(f"{written(text)} is not a valid size; write 256MiB or 1GiB")
    size = int(Decimal(match[1]) * _BYTES.get((match[2] or "").lower(), 1))
    if size > _MAX_SIZE:
        raise ValueError(f"{text!r} is too large")
    return size


def format_size(value: int | None) -> str | None:
    """Return a size in the largest binary unit that divides it. `parse_size` reads it back."""
    for unit in ("GiB", "MiB", "KiB"):
        size = _BYTES[unit[0].lower()]
        if value and value % size == 0:
            return f"{value // size}{unit}"
    return None if value is None else str(value)


def parse_amount(text: Any) -> int | str:
    """Parse a number (`2`) or a percentage (`25%`) of the replicas."""
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        return text
    if isinstance(text, str) and re.fullmatch(r"\d+(\.\d+)?%", text) and float(text[:-1]) <= 1000:
        return text
    raise ValueError(f"{written(text)} is not a valid amount; write a number such as 2 or a percentage such as 25%")


def resolve_amount(amount: int | str, whole: int, *, round_up: bool) -> int:
    """Return an amount as a number of `whole` replicas. The caller chooses the safe rounding of a percentage."""
    if isinstance(amount, int):
        return amount
    share = whole * float(amount[:-1]) / 100
    return math.ceil(share) if round_up else math.floor(share)


def parse_percentage(text: Any) -> float:
    """Parse a percentage, such as `0.5%`, into a share: 0.005. A number is refused, because 0.5 could mean 50%."""
    if isinstance(text, str) and _PERCENTAGE.fullmatch(text):
        return float(Decimal(text[:-1]) / 100)
    raise ValueError(f"{written(text)} is not a valid percentage; write 1% or 0.5%")


class PercentSign:
    """Annotates a number that is a percentage. It may be written with the sign: `10%` is 10."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(_without_sign, handler(source))

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [handler(schema), {"type": "string", "pattern": rf"^{_PERCENTAGE.pattern}$"}]}


def _without_sign(value: Any) -> Any:
    return float(value[:-1]) if isinstance(value, str) and _PERCENTAGE.fullmatch(value) else value


class PercentageRange:
    """Annotates a `Percentage`: it is between `least` and `most` percent.

    The error for a number without the sign shows what it may mean: 0.99 is 99%, or 0.99%.
    """

    def __init__(self, least: float, most: float) -> None:
        self._least, self._most = least, most

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_wrap_validator_function(self._validate, handler(source))

    def _validate(self, data: Any, parse: ValidatorFunctionWrapHandler) -> float:
        if meant := [format_percentage(share) for share in _shares_meant(data) if self._contains(share)]:
            raise ValueError(f"{written(data)} is not a valid percentage; write {' or '.join(meant)}")
        try:
            share: float = parse(data)
        except ValueError:
            raise self._outside(data) from None
        if not self._contains(share):
            raise self._outside(data)
        return share

    def _outside(self, data: Any) -> ValueError:
        shown = data if isinstance(data, str) and _PERCENTAGE.fullmatch(data) else written(data)
        return ValueError(f"must be between {self._least:g}% and {self._most:g}%, got {shown}")

    def _contains(self, share: float) -> bool:
        return self._least <= share * 100 <= self._most


def _shares_meant(data: Any) -> tuple[float, ...]:
    """Return the shares that a number without the sign may mean."""
    if not re.fullmatch(r"\d{1,3}(\.\d{1,6})?", str(data)):
        return ()
    number = Decimal(str(data))
    return (float(number), float(number / 100)) if number < 1 else (float(number / 100),)


def format_percentage(share: float) -> str:
    """Return a share as a percentage. `parse_percentage` reads it back."""
    return f"{(Decimal(repr(share)) * 100).normalize():f}%"


def _whole(value: Any) -> Any:
    """Reject booleans, since pydantic reads `true` as 1."""
    if isinstance(value, bool):
        raise ValueError(f"must be a whole number, got {str(value).lower()}")
    return value


def _number(value: Any) -> Any:
    """Reject booleans, since pydantic reads `true` as 1."""
    if isinstance(value, bool):
        raise ValueError(f"must be a number, got {str(value).lower()}")
    return value


NO_TRUTH_VALUE = BeforeValidator(_number)
"""Annotates a number with limits, after them. Number and limits are then one type in the JSON Schema."""
Whole = Annotated[int, BeforeValidator(_whole)]
Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration),
    WithJsonSchema({"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|s|m|h|d))+$", "examples": ["500ms", "30s"]}),
]
Percentage = Annotated[
    float,
    BeforeValidator(parse_percentage),
    PlainSerializer(format_percentage),
    WithJsonSchema({"type": "string", "pattern": rf"^{_PERCENTAGE.pattern}$", "examples": ["1%", "0.5%"]}),
]
"""A share from 0 to 1, written as a percentage."""
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema({"type": ["string", "integer"], "pattern": _SIZE.pattern, "examples": ["256MiB"]}),
]
Amount = Annotated[
    int | str,
    BeforeValidator(parse_amount),
    WithJsonSchema({"type": ["string", "integer"], "minimum": 0, "pattern": r"^\d+(\.\d+)?%$", "examples": [1, "25%"]}),
]

"""Durations, sizes and amounts: their notation and their errors."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.quantity import (
    format_duration,
    format_percentage,
    format_size,
    parse_amount,
    parse_duration,
    parse_percentage,
    parse_size,
    resolve_amount,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30), ("2m", 120), ("1h", 3600), ("1m30s", 90), ("1.5s", 1.5)],
)
def test_durations(text: str, seconds: float) -> None:
    """A duration is a number with a unit, or a sum of such."""
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "shown", "meant"),
    [
        *((text, repr(text), "500ms, 30s, 2m or 1h") for text in ("", "5", "s", "-5s", "1m 30s", "5s5", "5 weeks")),
        ("5 s", "'5 s'", "5s"),
        ("5sec", "'5sec'", "5s"),
        ("1.5 Hours", "'1.5 Hours'", "1.5h"),
        ("2 days", "'2 days'", "2d"),
        ("20 milliseconds", "'20 milliseconds'", "500ms, 30s, 2m or 1h"),
        (5, "5", "5ms, 5s, 5m or 5h"),
        (0, "0", "0s"),
        (-5, "-5", "500ms, 30s, 2m or 1h"),
        (0.5, "0.5", "500ms, 30s, 2m or 1h"),
        (None, "null", "500ms, 30s, 2m or 1h"),
        (True, "true", "500ms, 30s, 2m or 1h"),
        ({}, "a mapping", "500ms, 30s, 2m or 1h"),
    ],
)
def test_an_invalid_duration(text: object, shown: str, meant: str) -> None:
    """The error has what to write, if a number or the name of a unit shows it."""
    with pytest.raises(ValueError, match="is not a valid duration") as caught:
        parse_duration(text)
    assert str(caught.value) == f"{shown} is not a valid duration; write {meant}"


@given(st.integers(0, 10**10))
def test_a_duration_is_read_back_as_it_was_written(milliseconds: int) -> None:
    """A formatted duration parses to the same value."""
    duration = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("256MiB", 2**28),
        ("1GiB", 2**30),
        ("512m", 2**29),
        ("512M", 2**29),
        ("512mb", 2**29),
        ("512MB", 2**29),
        ("2048K", 2**21),
        ("2048kB", 2**21),
        ("1.5g", 3 * 2**29),
        ("1.5 GiB", 3 * 2**29),
        ("1TiB", 2**40),
        ("1p", 2**50),
        (4096, 4096),
        ("4096", 4096),
        ("7B", 7),
        ("7b", 7),
    ],
)
def test_sizes(text: object, size: int) -> None:
    """A size has one of Compose's units, which are all binary, or none."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["999.9ms", "99999999999999d", "36501d", "36500d1ms", "0.0001s"])
def test_durations_that_could_not_be_read_back(text: str) -> None:
    """A duration below a millisecond or beyond the calendar is an error."""
    with pytest.raises(ValueError, match=r"finer than a millisecond|is too long"):
        parse_duration(text)


@given(st.integers(0, 2**50))
def test_a_size_is_read_back_as_it_was_written(size: int) -> None:
    """Any formatted size parses to the same value."""
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize("text", ["", "MiB", "-1", True, "1EiB", "1 x", "1bb", "1mib b", "1.", ".5g", "1e3", "1,5g"])
def test_an_invalid_size(text: object) -> None:
    """The error of an invalid size has an example."""
    with pytest.raises(ValueError, match="is not a valid size; write 256MiB or 1GiB"):
        parse_size(text)


@pytest.mark.parametrize(
    ("amount", "whole", "up", "down"),
    [(2, 10, 2, 2), ("25%", 10, 3, 2), ("100%", 7, 7, 7), ("1%", 3, 1, 0)],
)
def test_shares_are_rounded_towards_safety(amount: int | str, whole: int, up: int, down: int) -> None:
    """The surge is rounded up, and the number of unavailable targets down."""
    assert resolve_amount(parse_amount(amount), whole, round_up=True) == up
    assert resolve_amount(parse_amount(amount), whole, round_up=False) == down


@pytest.mark.parametrize(
    ("text", "share"), [("1%", 0.01), ("0.5%", 0.005), ("100%", 1.0), ("99.99%", 0.9999), ("0%", 0.0)]
)
def test_percentages(text: str, share: float) -> None:
    """A percentage is a share, and is read back as it was written."""
    assert parse_percentage(text) == share
    assert format_percentage(share) == text


@pytest.mark.parametrize("text", [0.5, 1, "1", "1 %", "-1%", "1000%", ".5%", "1.%", True, None, "1e1%"])
def test_an_invalid_percentage(text: object) -> None:
    """A number alone is refused, because it could mean a share or a percentage."""
    with pytest.raises(ValueError, match=r"is not a valid percentage; write 1% or 0\.5%"):
        parse_percentage(text)

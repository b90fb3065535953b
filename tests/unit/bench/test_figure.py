"""A figure is compared with its limit as it is printed."""

from __future__ import annotations

import pytest

from bench.figure import Figure, median_ratio, percentile


@pytest.mark.parametrize(
    ("value", "limit", "text"),
    [
        (1.118, 1.12, "request 1.12 (at most 1.12)"),
        (1.1249, 1.12, "request 1.12 (at most 1.12)"),
        (1.126, 1.12, "request 1.13 (at most 1.12, MISSED)"),
        (1.1, 1.12, "request 1.1 (at most 1.12)"),
        (0.0, 0, "request 0 (at most 0)"),
        (3.0, 0, "request 3 (at most 0, MISSED)"),
        (120.4, 120, "request 120 (at most 120)"),
        (100.0, 120, "request 100 (at most 120)"),
        (1061.2, 120, "request 1061 (at most 120, MISSED)"),
    ],
)
def test_text(value: float, limit: float, text: str) -> None:
    """The text says whether the limit is met, and does not contradict its own digits."""
    figure = Figure("request", value, limit)
    assert str(figure) == text
    assert figure.met is ("MISSED" not in text)


def test_ratios_are_taken_within_a_round() -> None:
    """A slow round affects both proxies, so it changes no ratio, while the ratio of the medians would change."""
    assert median_ratio([10, 10, 100], [10, 100, 100]) == 1
    assert median_ratio([2, 40, 6], [1, 20, 3]) == 2


def test_ratios_need_the_same_rounds() -> None:
    """Values of different numbers of rounds are an error."""
    with pytest.raises(ValueError, match="zip"):
        median_ratio([1, 2], [1])


@pytest.mark.parametrize(("count", "expected"), [(100, 98), (10, 9), (1, 0), (1000, 989)])
def test_percentile(count: int, expected: int) -> None:
    """Of a hundred values the 99th percentile is the second largest, and of few values it is the largest."""
    assert percentile(list(reversed(range(count))), 0.99) == expected

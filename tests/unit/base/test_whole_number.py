"""Whole numbers in text."""

from __future__ import annotations

import pytest

from pipeline.base.whole_number import LARGEST, whole_number


@pytest.mark.parametrize("text", ["", "-1", "+1", " 1", "1_0", "1.0", "٣", "²", "9" * 5000, str(2**63), "x"])
def test_text_that_is_no_number(text: str) -> None:
    """Signs, spaces, other digits than ASCII, and numbers that are too large give None, and never an error."""
    assert whole_number(text) is None


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("007", 7), ("0" * 5000 + "1", 1), (str(LARGEST), LARGEST)])
def test_a_number(text: str, number: int) -> None:
    """Leading zeros do not count."""
    assert whole_number(text) == number
    assert whole_number(text, number) == number
    assert number == 0 or whole_number(text, number - 1) is None

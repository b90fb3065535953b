"""Whole numbers in text that others have written."""

from __future__ import annotations

LARGEST = 2**63 - 1
"""The largest number that the database can hold."""


def whole_number(text: str, limit: int = LARGEST) -> int | None:
    """Return a number of ASCII digits, or None if the text is none or the number is larger than `limit`.

    `int` raises `ValueError` for thousands of digits, although `str.isdigit` is true for them.
    """
    if not text.isascii() or not text.isdigit() or len(text.lstrip("0")) > len(str(limit)):
        return None
    found = int(text.lstrip("0") or "0")
    return found if found <= limit else None

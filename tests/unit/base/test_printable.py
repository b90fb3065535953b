"""Text from outside that is shown: a terminal obeys none of it."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.printable import escape_controls, escape_line, has_controls, strip_controls

_SHOWN = ("\t", "\n")
# Cf also has characters that shape a word, such as the soft hyphen, and joiners that emoji need.
_DIRECTION = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}


def is_raw(character: str) -> bool:
    return (
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(character) in _DIRECTION
        or character in "\u061c\u200e\u200f"
    )


@given(st.text(st.characters(codec=None)))
def test_no_control_character_stays(text: str) -> None:
    """Nothing that a terminal obeys is left, but tabs and newlines in text of several lines."""
    assert not any(is_raw(c) for c in escape_line(text))
    assert not any(is_raw(c) for c in escape_controls(text) if c not in _SHOWN)
    assert not any(is_raw(c) for c in strip_controls(text) if c not in _SHOWN)
    assert has_controls(text) == any(is_raw(c) for c in text)


@given(st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp"))))
def test_other_text_stays(text: str) -> None:
    """Text of any language stays as it is."""
    assert escape_line(text) == escape_controls(text) == strip_controls(text) == text


@pytest.mark.parametrize(
    ("text", "line", "lines", "stripped"),
    [
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m", "red", "red"),
        ("\x1b[2Jgone", "\\x1b[2Jgone", "\\x1b[2Jgone", "gone"),
        ("\x1b]0;title\x07x", "\\x1b]0;title\\x07x", "\\x1b]0;title\\x07x", "x"),
        ("\x1b]8;;http://h\x1b\\link", "\\x1b]8;;http://h\\x1b\\link", "\\x1b]8;;http://h\\x1b\\link", "link"),
        ("\x9b2Jgone", "\\x9b2Jgone", "\\x9b2Jgone", "gone"),
        ("a\nb\tc\r", "a\\nb\\tc\\r", "a\nb\tc\\r", "a\nb\tc"),
        ("\u202etxt.exe", "\\u202etxt.exe", "\\u202etxt.exe", "txt.exe"),
        ("Käse 🎉 👩‍🚀", "Käse 🎉 👩‍🚀", "Käse 🎉 👩‍🚀", "Käse 🎉 👩‍🚀"),
    ],
)
def test_forms(text: str, line: str, lines: str, stripped: str) -> None:
    """One line is escaped whole. Text of several lines loses its colours, and a program's output all sequences."""
    assert (escape_line(text), escape_controls(text), strip_controls(text)) == (line, lines, stripped)


@given(st.text(st.characters(codec=None)))
def test_an_escaped_text_is_valid_json(text: str) -> None:
    """The escaped text can be encoded in UTF-8, also if it was half a surrogate pair."""
    assert json.loads(json.dumps(escape_line(text), ensure_ascii=False).encode()) == escape_line(text)

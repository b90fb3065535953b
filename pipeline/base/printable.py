"""Text from outside, such as a commit's subject or a program's output, made safe to print.

A terminal obeys escape sequences, C1 controls and marks of writing direction. Such text could forge lines, hide others
or rename the window.
"""

from __future__ import annotations

import re

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_SEQUENCE = re.compile(
    # CSI with its parameters; OSC, DCS, SOS, PM and APC up to BEL or ST.
    r"(?:\x1b\[|\x9b)[0-9:;<=>?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
)
# C0 but tab and newline, DEL, C1, line separators, marks of direction, and halves of surrogate pairs.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_CONTROL_OR_BREAK = re.compile(f"{_CONTROL.pattern}|[\t\n]")


def escape_controls(text: str) -> str:
    """Return text of any number of lines without colours, and other control characters as in `\\x07`."""
    return _CONTROL.sub(_escaped, _COLOUR.sub("", text))


def escape_line(text: str) -> str:
    """Return one line with every control character escaped, also tabs, newlines and colours."""
    return _CONTROL_OR_BREAK.sub(_escaped, text)


def strip_controls(text: str) -> str:
    """Return the output of a program without terminal sequences and control characters, but with tabs and newlines."""
    return _CONTROL.sub("", _SEQUENCE.sub("", text))


def has_controls(text: str) -> bool:
    """Return whether one line has a control character."""
    return _CONTROL_OR_BREAK.search(text) is not None


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape", errors="backslashreplace").decode()

"""Quoting of text for HAProxy's configuration: words, converters, and patterns as regular expressions."""

from __future__ import annotations

import re

from pipeline.balancer.model.application.wildcard import Wild, Wildcard


def quote(text: str) -> str:
    """Return a word that HAProxy takes literally. Within single quotes, only the quote itself is special."""
    return "'" + text.replace("'", "'\\''") + "'"


def regsub(regex: str, replacement: str) -> str:
    """Return the converter that replaces the first match of an expression, for use within a quoted word."""
    return f"regsub({argument(regex)},{argument(replacement)})"


def argument(text: str) -> str:
    """Return a text as an argument of a converter, which has its own quotes."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def expression(pattern: Wildcard, *, one: str = ".") -> str:
    """Return a wildcard pattern as a regular expression without anchors. `one` is the expression for a `?`.

    The text between two `*` is matched at its first occurrence only. A later occurrence cannot lead to a match that the
    first one does not, and backtracking makes HAProxy give up on a long text and report no match.
    """
    segments = [""]
    for part in pattern.parts:
        if part is Wild.ANY:
            segments.append("")
        else:
            segments[-1] += re.escape(part) if isinstance(part, str) else one
    first, *middle = segments
    if not middle:
        return first
    return first + "".join(f"(?>{one}*?{segment})" for segment in middle[:-1] if segment) + f"{one}*{middle[-1]}"


def until_tab(expression: str) -> str:
    """Return the part of a log format for a value until its first tab, because tabs separate the fields."""
    return f"%[{expression},field(1,\\\\t)]"

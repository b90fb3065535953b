"""The part of a page that shows the last lines of a log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from pipeline.base.errors import PenstockError
from pipeline.base.printable import escape_line
from pipeline.web.page import ViewContext

_MOST = 200


class ShownLine(NamedTuple):
    """One line: its time of day in UTC, where it is from, and its text without control characters."""

    time: str
    source: str
    text: str


def log_part(context: ViewContext, read: Callable[[int], Sequence[tuple[str, str, str]]]) -> Markup:
    """Return the element `log`. `read` returns at most so many times in ISO 8601, sources and texts, oldest first.

    The error of an engine that does not answer is shown in it, and the rest of the page stays.
    """
    lines, problem = list[ShownLine](), ""
    try:
        lines = [ShownLine(at[11:23], escape_line(source), escape_line(text)) for at, source, text in read(_MOST)]
    except PenstockError as error:
        problem = error.message
    return context.part("log.html", lines=lines, problem=problem, most=_MOST)

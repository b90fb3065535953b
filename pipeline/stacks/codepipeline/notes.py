"""What a translation leaves out, or assumes."""

from __future__ import annotations


class Notes:
    """Lines for the user, each once, in the order in which they were found."""

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}

    def add(self, line: str) -> None:
        """Add a line, if it is new."""
        self._lines[line] = None

    def lines(self) -> tuple[str, ...]:
        """Return all lines."""
        return tuple(self._lines)

"""From raw lines to what they say. What makes no sense is counted and left out: no line stops the ones after it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline.balancer.telemetry.line import Line


class Reading:
    """`unreadable` counts the lines that made no sense so far."""

    def __init__(self) -> None:
        self.unreadable = 0

    def lines(self, raw: Iterable[bytes]) -> Iterator[Line]:
        """The requests among raw lines."""
        for text in raw:
            try:
                line = Line.read(text)
            except ValueError:
                self.unreadable += 1
            else:
                if line is not None:
                    yield line

"""The boxes of a picture and the lines between them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from markupsafe import Markup

from pipeline.web.svg import svg

_MAX_WIDTH, _LIT_WIDTH = 12.0, 2.5


@dataclass(frozen=True)
class Box:
    """A rectangle, in pixels. `is_lit` is None if no way is lit up."""

    x: float
    y: float
    width: float
    height: float
    is_lit: bool | None = None

    @property
    def right(self) -> tuple[float, float]:
        """The middle of its right side."""
        return self.x + self.width, self.y + self.height / 2

    @property
    def left(self) -> tuple[float, float]:
        """The middle of its left side."""
        return self.x, self.y + self.height / 2

    @property
    def bottom(self) -> float:
        """The position below it."""
        return self.y + self.height

    def draw(self, kind: str, *children: Markup, tip: str = "") -> Markup:
        """Return the box with its content. `tip` is its whole text."""
        frame = svg("rect", x=self.x, y=self.y, width=self.width, height=self.height, rx=4, class_="frame")
        title = svg("title", tip) if tip else Markup()
        return svg("g", title, frame, *children, class_=f"{kind} {light(self.is_lit)}".strip())


def light(is_lit: bool | None) -> str:
    """Return the class of what is on a way, or beside it. Empty if no way is lit up."""
    return "" if is_lit is None else "lit" if is_lit else "unlit"


def line_of_text(x: float, y: float, text: str, class_: str = "name", anchor: str | None = None) -> Markup:
    """Return one line of text. `anchor` is `end` if it ends at `x`."""
    return svg("text", text, x=x, y=y, class_=class_, text_anchor=anchor)


def line_width(rate: float | None) -> float:
    """Return the width of a line by its requests per second: on a logarithmic scale, and at most twelve pixels."""
    return min(1.5 + 3 * math.log10(1 + rate), _MAX_WIDTH) if rate else 1.0


def line(
    begin: tuple[float, float], end: tuple[float, float], rate: float | None = None, *, is_lit: bool | None = None
) -> Markup:
    """Return a line from the right of a box to the left of another one."""
    (x, y), (to_x, to_y) = begin, end
    middle = (x + to_x) / 2
    way = f"M{x:g} {y:g}C{middle:g} {y:g} {middle:g} {to_y:g} {to_x:g} {to_y:g}"
    idle = "idle" if rate == 0 else ""
    width = max(line_width(rate), _LIT_WIDTH) if is_lit else line_width(rate)
    return svg("path", d=way, stroke_width=width, class_=f"way {idle} {light(is_lit)}".strip())

"""The targets of a group in a picture: a box each, or small marks for very many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from pipeline.http.responses.balancer import TargetHealthResponse
from pipeline.web.icons import kind_of, shape
from pipeline.web.svg import svg
from pipeline.web.topology.box import Box, line, line_of_text
from pipeline.web.topology.way import Way
from pipeline.web.topology.words import counts, cut, cut_start, reason_text, state_of, state_text, work_text

WIDTH = 250
_HEIGHT, _GAP = 40, 6
MAX_BOXES = 20
"""The targets with problems of a large group that have a box."""
_CELL, _ROW = 10, 25
_LINE = 18
# Each with a shape of its own, as `icons` has them.
MARKS = {"good": "M2 2h6v6h-6z", "busy": "M5 1l4 4-4 4-4-4z", "leaving": "M1 2l8 3-8 3z", "off": "M2 4.5h6v1h-6z"}
MARKS |= {"bad": "M2 1l3 3 3-3 1 1-3 3 3 3-1 1-3-3-3 3-1-1 3-3-3-3z"}


def with_problems(targets: Sequence[TargetHealthResponse]) -> list[TargetHealthResponse]:
    """Return the targets that are not healthy."""
    return [target for target in targets if target.exited or target.state != "healthy"]


@dataclass(frozen=True)
class TargetBoxes:
    """The targets of a group, drawn from a position on. `is_large`: by marks, and boxes for those with problems."""

    group: str
    targets: Sequence[TargetHealthResponse]
    is_large: bool
    way: Way | None
    hosts: dict[str, str]

    @property
    def boxed(self) -> Sequence[TargetHealthResponse]:
        """The targets with a box of their own."""
        if not self.is_large:
            return self.targets
        return with_problems(self.targets)[:MAX_BOXES]

    @property
    def height(self) -> float:
        """The height of all, in pixels."""
        boxes = len(self.boxed) * (_HEIGHT + _GAP)
        return max(boxes + (self._marks_height() if self.is_large else 0), _HEIGHT)

    def draw(self, x: float, y: float, begin: tuple[float, float]) -> Iterator[Markup]:
        """Yield the elements, with the lines from the group, which end at `begin`."""
        if not self.targets:
            yield line_of_text(x, y + _HEIGHT / 2 + 4, "no targets", "detail")
        for target in self.boxed:
            is_lit = self.way.has_target(self.group, target) if self.way else None
            box = Box(x, y, WIDTH, _HEIGHT, is_lit)
            yield line(begin, box.left, target.requests_per_second, is_lit=is_lit)
            yield self._box(box, target)
            y += _HEIGHT + _GAP
        if self.is_large:
            rate = sum(target.requests_per_second or 0 for target in self.targets)
            is_lit = self.group in self.way.groups if self.way else None
            yield line(begin, (x, y + 8), rate, is_lit=is_lit)
            yield from self._marks(x, y)

    def _box(self, box: Box, target: TargetHealthResponse) -> Markup:
        x, y, state = box.x, box.y, state_of(target)
        place = " ".join(filter(None, (target.target.zone, self._host(target))))
        tip = f"{target.target.id} {target.target.address}:{target.target.port}: {state_text(target)}"
        reason = reason_text(target)
        content = [
            shape(state, 16, x=x + 6, y=y + 6),
            line_of_text(x + 28, y + 16, cut_start(target.target.id, 20 if place else 31)),
            line_of_text(x + WIDTH - 6, y + 16, cut(place, 11), "detail", "end"),
            line_of_text(x + 28, y + 32, cut(_second_line(target), 36), "detail"),
            *_drain(box, target),
        ]
        return box.draw(f"target {kind_of(state)}", *content, tip=f"{tip}. {reason}" if reason else tip)

    def _host(self, target: TargetHealthResponse) -> str:
        host = self.hosts.get(target.target.id)
        return f"on {host}" if host else ""

    def _marks_height(self) -> float:
        rows = -(-len(self.targets) // _ROW)
        return _LINE * len(counts(self.targets)) + rows * _CELL + _GAP

    def _marks(self, x: float, y: float) -> Iterator[Markup]:
        """Yield the number of targets in each state, and a mark for each target in its place."""
        for state, count in counts(self.targets):
            yield shape(state, 14, x=x + 6, y=y + 2)
            yield line_of_text(x + 26, y + 14, f"{count:,} {state}")
            y += _LINE
        runs = list(_runs(self.targets))
        yield svg("g", *(_run(*run) for run in runs), transform=f"translate({x:g} {y:g})", class_="marks")


def _second_line(target: TargetHealthResponse) -> str:
    if target.draining:
        return f"{state_text(target)}, {target.in_flight} in flight, {target.draining.left:.0f} s left"
    if state_of(target) == "healthy":
        return f"healthy, {work_text(target)}"
    reason = reason_text(target)
    return f"{state_text(target)}: {reason}" if reason and not target.exited else f"{state_text(target)}"


def _drain(box: Box, target: TargetHealthResponse) -> Iterator[Markup]:
    """Yield a bar of what is left of the deregistration delay."""
    if target.draining and target.draining.delay:
        whole = box.width - 2
        left = whole * target.draining.left / target.draining.delay
        for class_, width in (("drain-whole", whole), ("drain-left", left)):
            yield svg("rect", x=box.x + 1, y=box.bottom - 4, width=float(width), height=3, class_=class_)


def _runs(targets: Sequence[TargetHealthResponse]) -> Iterator[tuple[str, int, int, int]]:
    """Yield kind, column, row and length of neighbours in one row with the same kind of state."""
    kinds = [kind_of(state_of(target)) for target in targets]
    for row in range(0, len(kinds), _ROW):
        column = 0
        for kind, same in groupby(kinds[row : row + _ROW]):
            length = len(list(same))
            yield kind, column, row // _ROW, length
            column += length


def _run(kind: str, column: int, row: int, length: int) -> Markup:
    return svg(
        "rect",
        x=column * _CELL,
        y=row * _CELL,
        width=length * _CELL,
        height=_CELL,
        fill=f"url(#mark-{kind})",
        class_=kind,
    )


def mark_patterns() -> Markup:
    """Return the definitions that marks refer to. One SVG of the page has them."""
    patterns = (
        svg(
            "pattern",
            svg("path", d=path, class_=kind),
            id=f"mark-{kind}",
            width=_CELL,
            height=_CELL,
            patternUnits="userSpaceOnUse",
        )
        for kind, path in MARKS.items()
    )
    return svg("defs", *patterns)

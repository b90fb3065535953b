"""A simulation as an SVG picture: load, replicas and response times over time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from pipeline.scaling.simulation.model import SimulationResult

_WIDTH, _LEFT, _RIGHT = 900, 70, 20
_PANEL, _GAP, _TOP, _BOTTOM = 150, 46, 60, 50
_SPAN = _WIDTH - _LEFT - _RIGHT
# Colours of Okabe and Ito, which colour-blind readers can tell apart. Lines differ in their dashes too.
_BLUE, _VERMILLION, _GREEN, _GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
_TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080)
_STYLE = "text{font:12px sans-serif;fill:#222}.title{font-size:16px}.grid{stroke:#ddd}.line{fill:none;stroke-width:1.5}"


@dataclass(frozen=True)
class _Line:
    name: str
    colour: str
    values: Sequence[float]
    dashes: str = ""
    steps: bool = False


def as_svg(result: SimulationResult, title: str, fixed: int | None = None) -> str:
    """Return a picture that needs nothing from outside. `fixed` is a number of replicas to compare with."""
    seconds, periods = result.period_seconds, result.periods
    replicas = [_Line("replicas", _BLUE, [float(period.replicas) for period in periods], steps=True)]
    if fixed is not None:
        replicas.append(_Line(f"fixed: {fixed}", _GREY, [float(fixed)] * len(periods), "6 4"))
    panels = [
        ("requests per second", [_Line("load", _GREEN, [period.requests / seconds for period in periods])]),
        ("replicas", replicas),
        (
            "response time, ms",
            [
                _Line("p99", _VERMILLION, [(period.p99 or 0.0) * 1000 for period in periods]),
                _Line("p50", _BLUE, [(period.p50 or 0.0) * 1000 for period in periods], "2 3"),
            ],
        ),
    ]
    minutes = len(periods) * seconds / 60
    body = [part for place, (name, lines) in enumerate(panels) for part in _panel(place, name, lines, minutes)]
    height = _TOP + len(panels) * (_PANEL + _GAP) - _GAP + _BOTTOM
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(title)}">\n<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n'
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>\n'
        f'<text class="title" x="{_LEFT}" y="24">{escape(title)}</text>'
    )
    foot = f'<text x="{_LEFT + _SPAN / 2:g}" y="{height - 10}" text-anchor="middle">time since the begin</text>\n</svg>'
    return "\n".join([head, *body, foot]) + "\n"


def _panel(place: int, name: str, lines: Sequence[_Line], minutes: float) -> Iterator[str]:
    top = _TOP + place * (_PANEL + _GAP)
    bottom = top + _PANEL
    step = _nice_step(max(max(line.values) for line in lines))
    highest = step * max(1, math.ceil(max(max(line.values) for line in lines) / step - 1e-9))
    yield f'<text x="{_LEFT}" y="{top - 8}">{escape(name)}</text>'
    for number in range(round(highest / step) + 1):
        y = bottom - _PANEL * number * step / highest
        yield f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + _SPAN}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{number * step:g}</text>'
    yield from _time_ticks(bottom, minutes)
    for position, line in enumerate(reversed(lines)):
        yield _polyline(line, bottom, highest)
        yield from _legend(line, _LEFT + _SPAN - 110 * (position + 1), top - 12)


def _polyline(line: _Line, bottom: float, highest: float) -> str:
    count, points = len(line.values), list[tuple[float, float]]()
    for place, value in enumerate(line.values):
        y = bottom - _PANEL * value / highest
        begin, end = _LEFT + _SPAN * place / count, _LEFT + _SPAN * (place + 1) / count
        points += [(begin, y), (end, y)] if line.steps else [((begin + end) / 2, y)]
    text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="line" stroke="{line.colour}"{_dashes(line)} points="{text}"/>'


def _legend(line: _Line, x: float, y: float) -> Iterator[str]:
    ends = f'x1="{x:g}" x2="{x + 24:g}" y1="{y:g}" y2="{y:g}"'
    yield f'<line class="line" stroke="{line.colour}"{_dashes(line)} {ends}/>'
    yield f'<text x="{x + 30:g}" y="{y + 4:g}">{escape(line.name)}</text>'


def _dashes(line: _Line) -> str:
    return f' stroke-dasharray="{line.dashes}"' if line.dashes else ""


def _time_ticks(bottom: float, minutes: float) -> Iterator[str]:
    step = next((step for step in _TIME_STEPS if minutes / step <= 12), _TIME_STEPS[-1])
    for number in range(int(minutes // step) + 1):
        x = _LEFT + _SPAN * number * step / minutes
        label = f"{number * step} min" if step < 60 else f"{number * step / 60:g} h"
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 5}"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{label}</text>'


def _nice_step(highest: float) -> float:
    """Return 1, 2 or 5 times a power of ten, so that at most five steps reach the highest value."""
    if highest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(highest / 5))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power * 5 >= highest * (1 - 1e-9))

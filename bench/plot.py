"""A page that plots the history: one HTML file with SVG, without scripts and without anything from outside."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby
from pathlib import Path

from bench.history import Entry

WIDTH, HEIGHT, MARGIN = 420, 150, 12
_STYLE = """\
body { font: 14px sans-serif; margin: 2em auto; max-width: 920px; color: #222; background: #fff }
figure { display: inline-block; margin: 0 1em 1.5em 0; vertical-align: top; width: 420px }
figcaption { min-height: 2.6em } .missed { color: #b3261e; font-weight: bold }
svg { border: 1px solid #ddd } .value { fill: none; stroke: #1a5fb4; stroke-width: 2 }
.limit { stroke: #b3261e; stroke-dasharray: 5 4 } circle { fill: #1a5fb4 } circle.missed { fill: #b3261e }
"""


def write_page(entries: Sequence[Entry], page: Path) -> None:
    """Write the page. Each figure has a chart with its values in order of time, and its limit as a dashed line."""
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(as_html(entries))


def as_html(entries: Sequence[Entry]) -> str:
    """Return the page."""
    benchmarks = groupby(sorted(entries, key=lambda e: e.benchmark), key=lambda e: e.benchmark)
    body = "\n".join(_section(name, list(of_one)) for name, of_one in benchmarks)
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>Measurements over time</title>\n'
        f"<style>\n{_STYLE}</style>\n<h1>Measurements over time</h1>\n"
        "<p>Each point is one measurement. Lower is better. The dashed line is the latest limit.</p>\n"
        f"{body or '<p>There is no measurement yet.</p>'}\n</html>\n"
    )


def _section(benchmark: str, entries: list[Entry]) -> str:
    figures: dict[str, list[Entry]] = {}
    for entry in entries:
        figures.setdefault(entry.figure.name, []).append(entry)
    return "\n".join([f"<h2>{escape(benchmark)}</h2>", *map(_chart, figures.values())])


def _chart(entries: list[Entry]) -> str:
    latest = entries[-1].figure
    values = [entry.figure.value for entry in entries]
    points = [_point(place, value, len(values), _top(values, latest.limit)) for place, value in enumerate(values)]
    limit = _point(0, latest.limit, 1, _top(values, latest.limit))[1]
    marks = "".join(_mark(entry, x, y) for entry, (x, y) in zip(entries, points, strict=True))
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    state = "" if latest.met else ' class="missed"'
    return (
        f"<figure><figcaption{state}>{escape(str(latest))}</figcaption>"
        f'<svg width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{escape(latest.name)}">'
        f'<line class="limit" x1="0" x2="{WIDTH}" y1="{limit:.1f}" y2="{limit:.1f}"/>'
        f'<polyline class="value" points="{line}"/>{marks}</svg></figure>'
    )


def _top(values: Sequence[float], limit: float) -> float:
    return max(*values, limit) * 1.1 or 1.0


def _point(place: int, value: float, count: int, top: float) -> tuple[float, float]:
    """Return the position of a value on a scale from zero to `top`."""
    x = MARGIN + (WIDTH - 2 * MARGIN) * (place / (count - 1) if count > 1 else 0.5)
    return x, HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * value / top


def _mark(entry: Entry, x: float, y: float) -> str:
    title = escape(f"{entry.day} {entry.commit}: {entry.figure.value:g} (limit {entry.figure.limit:g})")
    state = "" if entry.figure.met else ' class="missed"'
    return f'<circle{state} cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{title}</title></circle>'

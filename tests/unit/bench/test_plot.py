"""The page shows each figure over time and needs nothing else."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

from bench.figure import Figure
from bench.history import Entry
from bench.plot import HEIGHT, WIDTH, as_html, write_page


def entry(value: float, *, day: int = 1, name: str = "kept", benchmark: str = "proxy_cost") -> Entry:
    """Return a figure of one day."""
    return Entry(date(2026, 11, day), f"commit{day}", benchmark, Figure(name, value, 1.12))


def charts(page: str) -> list[ElementTree.Element]:
    """Return the drawings of a page."""
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]


def test_a_chart_for_each_figure() -> None:
    """Figures of several measurements are drawn apart, each with all its points."""
    page = as_html([entry(1.3), entry(2.0, name="new"), entry(1.1, day=2), entry(5, benchmark="tls")])
    assert [len(chart.findall("circle")) for chart in charts(page)] == [2, 1, 1]
    assert re.findall("<h2>(.*?)</h2>", page) == ["proxy_cost", "tls"]


def test_order_and_height() -> None:
    """Later points are to the right, larger values are higher, and all points and the limit are inside."""
    (chart,) = charts(as_html([entry(1.3), entry(0.0, day=2), entry(9.0, day=3)]))
    marks = chart.findall("circle")
    places = [(float(mark.attrib["cx"]), float(mark.attrib["cy"])) for mark in marks]
    assert places == sorted(places)[:1] + places[1:2] + places[2:]
    assert places[2][1] < places[0][1] < places[1][1]
    limit = chart.find("line")
    assert limit is not None
    assert all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in [*places, (1, float(limit.attrib["y1"]))])
    assert ["missed" in mark.attrib.get("class", "") for mark in marks] == [True, False, True]


def test_all_zero() -> None:
    """A figure that is always zero with the limit zero is drawn too."""
    zero = Entry(date(2026, 11, 1), "commit", "reuse_race", Figure("lost", 0, 0))
    (chart,) = charts(as_html([zero]))
    assert len(chart.findall("circle")) == 1


def test_names_are_escaped() -> None:
    """A name with markup is shown as it is."""
    page = as_html([entry(1, name="<script>&")])
    assert "<script" not in page
    assert "&lt;script&gt;&amp;" in page


def test_self_contained(tmp_path: Path) -> None:
    """The page loads nothing, and also exists without any measurement."""
    write_page([], tmp_path / "folder" / "bench.html")
    page = (tmp_path / "folder" / "bench.html").read_text() + as_html([entry(1.3)])
    assert not re.search("src=|href=|url\\(|@import|<script", page)

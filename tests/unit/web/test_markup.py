"""Text from outside stays text: in every template, in every element that code makes, and on every page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from markupsafe import Markup

from pipeline.store.web_sessions import Role
from pipeline.web.catalogue import Catalogue
from pipeline.web.icons import icon, kind_of, shape
from pipeline.web.page import Page
from pipeline.web.svg import svg
from pipeline.web.times import moment, since
from tests.support.paths import ROOT
from tests.support.web import WebServer, web_server
from tests.unit.web.page_check import Elements, check_page
from tests.unit.web.sample import Effects

TEMPLATES = sorted((ROOT / "pipeline/web/templates").rglob("*.html"))
MARKERS = (
    "<script>mark()</script>",
    '"><img src=x onerror=mark()>',
    "' onmouseover='mark()",
    "</title></textarea></style><svg onload=mark()>",
    "javascript:mark()",
    "{{ 7919 * 104729 }}{% raw %}",
    "<hx-partial hx-target='body'>mark</hx-partial>",
    "a\r\nevent: reload\r\n\r\ndata: mark",
)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_templates_escape_everything(path: Path) -> None:
    """No template turns escaping off, or has what the policy of content refuses."""
    text = path.read_text()
    assert not re.search(r"\|\s*safe|autoescape|Markup|\|\s*tojson|\{%-?\s*raw", text)
    assert not re.search(r"\sstyle\s*=|<style|\son[a-z]+\s*=|hx-on|javascript:|hx-vals|hx-vars", text, re.IGNORECASE)
    assert all("src=" in script for script in re.findall(r"<script[^>]*>", text))
    # An attribute without quotes ends at the first space.
    assert not re.search(r"<[a-z][^<>{}]*=\s*\{\{", text)


@pytest.mark.parametrize("marker", MARKERS)
def test_elements_of_code_escape_everything(marker: str) -> None:
    """SVG, states and times take any text as text."""
    made = svg("text", marker, x=1, fill=marker, data_word=marker)
    assert Elements(made).found[0][1]["fill"].split() == marker.split()
    for each in (made, icon(marker), icon("failed", marker), shape(marker, aria_label=marker)):
        assert isinstance(each, Markup)
        check_page(each)
        assert len([tag for tag, _ in Elements(each).found if tag in ("script", "img")]) == 0


def test_numbers_of_svg() -> None:
    """Attributes without a value are left out, and numbers are short."""
    assert svg("rect", x=1.0, y=1 / 3, width=None, class_="a", stroke_width=2) == (
        '<rect x="1" y="0.333333" class="a" stroke-width="2"></rect>'
    )


def test_every_state_has_a_shape() -> None:
    """States of runs, stages, targets, releases and stacks have a shape of their kind, and others that of none."""
    assert [kind_of(state) for state in ("healthy", "FAILED", "draining", "queued", "running", "<b>")] == [
        "good",
        "bad",
        "leaving",
        "waiting",
        "busy",
        "off",
    ]
    assert "rolled back" in icon("rolled_back")


def test_times() -> None:
    """The server writes UTC, for browsers without scripts."""
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert moment(at) == '<time datetime="2026-01-02T03:04:05.000+00:00">2026-01-02 03:04:05 UTC</time>'
    assert "since 2026-01-02 03:04:05 UTC" in since(at)


@pytest.mark.parametrize("marker", MARKERS)
def test_arguments_and_texts_stay_text(marker: str, tmp_path: Path) -> None:
    """What the query, the path and the store have is text on the page and in its stream."""
    effects = Effects(text=marker)
    with web_server(tmp_path, catalogue=effects.catalogue()) as server:
        browser = server.browser()
        page = browser.get("/samples/a?" + _query(marker))
        check_page(page.text)
        words = [attributes["title"] for _, attributes in Elements(page.text).found if "title" in attributes]
        assert "".join(words).split() == marker.split()
        with browser.follow(browser.live("/samples/a?" + _query(marker))) as events:
            effects.text = f"{marker} again"
            server.changed.send()
            event = next(events)
    parts = re.findall(r'^<hx-partial hx-target="#(?:problem|sample)"[^>]*>(.*?)</hx-partial>$', event, re.M | re.S)
    assert event.count("<hx-partial") == len(parts)
    assert "again" in parts[-1]
    check_page("".join(parts))


@pytest.mark.parametrize("path", ["/samples/missing", "/samples/refused", "/samples/fault", "/<script>mark()</script>"])
def test_errors_stay_text(path: str, tmp_path: Path) -> None:
    """The page of an error escapes it, and that of a fault says nothing of it."""
    with web_server(tmp_path, catalogue=Effects().catalogue()) as server:
        page = server.browser().get(path.replace("<", "%3C").replace(">", "%3E"))
    assert page.status in (404, 409, 500)
    check_page(page.text)
    assert "<i>" not in page.text
    assert "secret of the program" not in page.text


def _query(marker: str) -> str:
    return urlencode({"word": marker})


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    with web_server(tmp_path_factory.mktemp("shop")) as found:
        yield found


@pytest.mark.parametrize("page", Catalogue.load().pages, ids=lambda page: page.name)
def test_the_arguments_of_every_page_stay_text(page: Page, shop: WebServer) -> None:
    """Each page takes markers in each argument of its path and its query."""
    for marker in MARKERS:
        for pipeline in ("shop", marker):
            names = dict.fromkeys(page.path_arguments, marker) | {"pipeline": pipeline}
            path = page.path.format_map({name: quote(value, safe="") for name, value in names.items()})
            answer = shop.browser(Role.OPERATE).get(f"{path}?{urlencode(dict.fromkeys(page.query, marker))}")
            assert answer.status in (200, 400, 404, 409), answer.text
            check_page(answer.text)


def test_no_text_turns_a_page_around(tmp_path: Path) -> None:
    """Marks of writing direction and control characters are shown as what they are, in templates and pictures."""
    effects = Effects()
    effects.text = "by \u202eann\x9b31m\x00\u2066"
    with web_server(tmp_path, catalogue=effects.catalogue()) as server:
        page = server.browser().get("/samples/a?word=%E2%80%AEx").text
    assert "by \\u202eann\\x9b31m\\x00\\u2066" in page
    assert "\u202e" not in page
    assert svg("text", "a\u202eb <") == "<text>a\\u202eb &lt;</text>"

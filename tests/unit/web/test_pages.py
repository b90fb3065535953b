"""Pages as a browser without JavaScript sees them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.web import WebServer, web_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WebServer]:
    with web_server(tmp_path) as found:
        yield found


def test_now_shows_each_pipeline(server: WebServer) -> None:
    """The first HTML of the page has the state of the pipelines."""
    page = server.browser().get("/")
    assert page.status == 200
    assert "no active release" in page.part("pipelines")


def test_a_change_is_sent_to_an_open_page(server: WebServer) -> None:
    """A part that differs from the page's first HTML arrives through its stream."""
    browser = server.browser()
    with browser.follow(browser.live("/")) as events:
        server.store.transitions.disable("shop", "deploy", "a <freeze>")
        message = next(events)
    assert 'hx-target="#pipelines"' in message
    assert "disabled: a &lt;freeze&gt;" in message


def test_a_page_loads_a_style_sheet_and_a_script(server: WebServer) -> None:
    """One of each, which a browser keeps, and none of them stops the reading of the page."""
    browser = server.browser()
    page = browser.get("/topology").text
    (style,), ((script, attributes),) = (
        re.findall(r'href="([^"]*\.css)"', page),
        re.findall(r'<script src="([^"]*)"([^>]*)>', page),
    )
    assert attributes == " defer"
    styles, scripts = browser.get(style), browser.get(script)
    assert ".topology" in styles.text
    assert styles.text.index("--page:") < styles.text.index(".topology")
    # htmx begins after the script, so the extension is there.
    assert (
        0
        < scripts.text.index('version="4.0.1"')
        < scripts.text.index("hx-sse:connect")
        < scripts.text.index("show-keys")
    )
    assert all("immutable" in each.headers["cache-control"] for each in (styles, scripts))

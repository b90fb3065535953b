"""Pages as a browser without JavaScript sees them."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
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


def test_a_page_has_its_style_sheet_and_loads_a_script(server: WebServer) -> None:
    """The policy allows this style sheet by its hash. A browser keeps the script, which does not delay the page."""
    browser = server.browser()
    found = browser.get("/topology")
    page, policy = found.text, found.headers["content-security-policy"]
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style.index("--page:") < style.index(".topology")
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in re.findall("style-src ([^;]*);", policy)[0].split()
    assert "unsafe" not in policy
    assert ".css" not in page
    ((script, attributes),) = re.findall(r'<script src="([^"]*)"([^>]*)>', page)
    assert attributes == " defer"
    scripts = browser.get(script)
    # htmx begins after the script, so the extension is there.
    assert (
        0
        < scripts.text.index('version="4.0.1"')
        < scripts.text.index("hx-sse:connect")
        < scripts.text.index("show-keys")
    )
    assert "immutable" in scripts.headers["cache-control"]

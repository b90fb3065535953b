"""The pages about stacks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stack_home import StackHome, template
from tests.support.web import WebServer, web_server

HOSTILE = "<script>alert(1)</script>"
SHOWN = "&lt;script&gt;alert(1)&lt;/script&gt;"
TEXT = template(
    {"Thing": "thing"},
    Description=f"'{HOSTILE}'",
    Parameters="{Key: {Type: String, NoEcho: true, Default: seven-secret-words}}",
)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[StackHome]:
    """The stacks of the home that the daemon serves."""
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    found = StackHome(folder)
    yield found
    found.stacks.close()


@pytest.fixture
def server(tmp_path: Path, home: StackHome) -> Iterator[WebServer]:
    with web_server(tmp_path) as found:
        yield found


def test_a_home_without_stacks(server: WebServer) -> None:
    """The page names the command that makes one."""
    page = server.browser().get("/stacks")
    assert (page.status, "There is no stack." in page.part("stacks")) == (200, True)
    page = server.browser().get("/stacks/web%3Cb%3E")
    assert (page.status, "stack web&lt;b&gt; does not exist" in page.text) == (404, True)


def test_a_stack_with_its_resources_and_events(server: WebServer, home: StackHome) -> None:
    """What templates say is text, and values of NoEcho parameters are masked."""
    home.create("web", TEXT)
    browser = server.browser()
    part = browser.get("/stacks").part("stacks")
    assert '<a href="/stacks/web">web</a>' in part
    assert SHOWN in part
    assert "CREATE_COMPLETE" in part
    page = browser.get("/stacks/web")
    assert page.status == 200
    assert "<dd>****</dd>" in page.part("stack")
    assert '<th scope="row">Thing</th>' in page.part("resources")
    events = page.part("stack-events")
    assert events.index("CREATE_COMPLETE") < events.index("CREATE_IN_PROGRESS"), "the newest is first"
    assert HOSTILE not in page.text
    assert "seven-secret-words" not in page.text


def test_a_new_event_arrives_on_an_open_page(server: WebServer, home: StackHome) -> None:
    """Without a reload."""
    home.create("web", TEXT)
    browser = server.browser()
    with browser.follow(browser.live("/stacks/web")) as messages:
        home.update("web", TEXT.replace("thing", "other"))
        while "UPDATE_COMPLETE" not in next(messages):
            """The update goes on."""

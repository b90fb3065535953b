"""Another site that a user of the web interface visits: it can lead here, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.visits import Visit
from tests.browser.world import World

# Each way in which a page can make a browser send a request.
_PAGE = """<!doctype html><title>other</title>
<a href="{url}/">follow</a>
<iframe name="framed" src="{url}/"></iframe>
<form method="post" action="{url}/logout"><input name="csrf" value="guess"><button>send</button></form>
<form method="post" action="{url}/login"><input name="link" value="{link}"><button>log in</button></form>
<script>
fetch("{url}/", {{credentials: "include"}}).then(() => document.title = "read", () => document.title = "refused");
</script>
"""


@pytest.fixture
def other(browser: Browser, shop: World, visit: Visit) -> Iterator[Page]:
    """A page of another site, in the browser of a user who is logged in."""
    content = _PAGE.format(url=shop.url, link=shop.login("eve").partition("link=")[2]).encode()

    class OtherSite(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  # the name of the interface
            """Write nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), OtherSite)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    context = browser.new_context(storage_state=visit("ada").context.storage_state())
    page = context.new_page()
    # Browsers take `localhost` and 127.0.0.1 for two sites.
    page.goto(f"http://localhost:{server.server_port}/")
    yield page
    context.close()
    server.shutdown()
    server.server_close()


@pytest.mark.long
def test_a_link_needs_no_new_login(other: Page) -> None:
    """A link in a chat leads to the page, although its request comes without the cookie."""
    other.get_by_text("follow").click()
    expect(other.get_by_role("contentinfo")).to_contain_text("ada")


@pytest.mark.long
def test_no_frame_shows_a_page(other: Page) -> None:
    """A frame over a decoy stays empty, so no click can be stolen."""
    expect(other).to_have_title("refused")
    # `Page.frame` knows a frame only some time after its page.
    framed = other.locator("iframe[name=framed]").element_handle().content_frame()
    assert framed is not None
    assert "Penstock" not in framed.content()


def test_no_form_has_an_effect(other: Page, shop: World) -> None:
    """A form is sent without the cookie. So the session goes on."""
    other.get_by_role("button", name="send").click()
    expect(other.get_by_role("heading")).to_have_text("Log in")
    other.goto(shop.url)
    expect(other.get_by_role("contentinfo")).to_contain_text("ada")


@pytest.mark.long
def test_no_form_logs_a_user_in_as_another(other: Page, shop: World) -> None:
    """Else the user would act in the name of the attacker, whose link it is."""
    other.get_by_role("button", name="log in").click()
    expect(other.get_by_role("main")).to_contain_text("the request came from another site")
    other.goto(shop.url)
    expect(other.get_by_role("contentinfo")).to_contain_text("ada")


@pytest.mark.long
def test_no_script_reads_a_page(other: Page) -> None:
    """A request of a script of another site is sent without the cookie, and its response is withheld."""
    expect(other).to_have_title("refused")

"""Logging in and out, the keyboard, the colours, and a page whose daemon goes away."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.visits import Visit
from tests.browser.world import World
from tests.support.browser import Visitor
from tests.support.waiting import until

# What the browser tells a page whose tab is put behind another one.
_HIDE = """hidden => {
    Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
    Object.defineProperty(document, "visibilityState", {value: hidden ? "hidden" : "visible", configurable: true});
    document.dispatchEvent(new Event("visibilitychange"));
}"""


def focused(page: Page) -> str:
    """Return the text of the element that has the focus."""
    text: str = page.evaluate("() => document.activeElement.innerText")
    return text


def test_a_link_works_once(browser: Browser, shop: World) -> None:
    """Opening the link does not use it up, its button does, and a second one is refused."""
    link = shop.login("ada")
    first, second = Visitor(browser, shop.url), Visitor(browser, shop.url)
    try:
        second.context.new_page().goto(link)
        first.log_in(link)
        expect(first.open("/").get_by_role("contentinfo")).to_contain_text("ada")
        page = second.context.new_page()
        page.goto(link)
        expect(page.get_by_role("main")).to_contain_text("used before")
    finally:
        first.close()
        second.close()


@pytest.mark.long
def test_without_a_session_there_is_nothing_but_the_login(browser: Browser, shop: World) -> None:
    """Every page leads to the login, with the command that gives a link."""
    visitor = Visitor(browser, shop.url)
    page = visitor.context.new_page()
    answer = page.goto("/")
    assert answer is not None
    assert answer.status == 401
    expect(page.get_by_role("main")).to_contain_text("pipeline web login")
    visitor.close()


def test_a_script_that_comes_late(visit: Visit) -> None:
    """A page shows what it has at once, and follows what happens as soon as its script comes."""
    visitor = visit()
    held: list[Route] = []
    streams: list[str] = []
    visitor.context.route("**/static/*.js", lambda route: held.append(route))
    visitor.context.on("request", lambda request: streams.extend([request.url] if "/live/" in request.url else []))
    page = visitor.context.new_page()
    page.goto("/", wait_until="commit")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    until(lambda: page.evaluate("0") or held, "the script")
    assert not streams
    held[0].continue_()
    until(lambda: page.evaluate("0") or streams, "the stream")


@pytest.mark.long
def test_log_out(browser: Browser, shop: World) -> None:
    """After the button, the cookie of the session is worth nothing."""
    visitor = Visitor(browser, shop.url)
    visitor.log_in(shop.login("ada"))
    cookies = visitor.context.cookies()
    page = visitor.open("/")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    visitor.context.add_cookies(cookies)
    answer = page.goto("/")
    assert answer is not None
    assert answer.status == 401
    visitor.close()


@pytest.mark.long
def test_the_keyboard_skips_to_the_content(visit: Visit) -> None:
    """The first stop of the keyboard skips the navigation."""
    page = visit().open("/")
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


@pytest.mark.long
def test_the_keyboard_goes_to_every_page(visit: Visit) -> None:
    """`g` and a number open the page with this place in the navigation."""
    page = visit().open("/")
    links = page.get_by_role("navigation", name="Pages").get_by_role("link")
    wanted = [str(link.get_attribute("href")) for link in links.all()]
    for number, path in enumerate(wanted[:9], 1):
        page.keyboard.press("g")
        page.keyboard.press(str(number))
        page.wait_for_url(lambda url, path=path: url.endswith(path))
        expect(page.get_by_role("heading", level=1)).to_have_count(1)
        expect(page.locator("#show-keys")).to_be_visible()


def test_the_keyboard_shows_its_keys(visit: Visit) -> None:
    """`?` shows the keys in a dialog, and Escape closes it."""
    page = visit().open("/")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()


@pytest.mark.long
def test_the_focus_is_seen(visit: Visit) -> None:
    """Every stop of the keyboard on a page has an outline, or another frame, that it has not without the focus."""
    page = visit().open("/")
    page.keyboard.press("Tab")
    while page.evaluate("() => document.activeElement !== document.body"):
        style = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
        assert style != "none", page.evaluate("() => document.activeElement.outerHTML")
        page.keyboard.press("Tab")


@pytest.mark.long
def test_colours_without_javascript(visit: Visit) -> None:
    """The form of the colours works without JavaScript, and comes back to the same page."""
    page = visit(java_script_enabled=False).open("/")
    page.get_by_role("combobox", name="Colours").select_option("dark")
    page.get_by_role("button", name="Change").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert re.search(r":\d+/$", page.url)


def test_a_hidden_tab_watches_nothing(visit: Visit) -> None:
    """A tab in the background closes its stream, and opens another one when it is looked at."""
    visitor, streams = visit(), Counter[str]()
    for event in ("request", "response", "requestfinished", "requestfailed"):
        visitor.context.on(event, lambda what, event=event: streams.update([event] if "/live/" in what.url else []))
    page = visitor.open("/")

    def until_streams(**counts: int) -> None:
        until(lambda: page.evaluate("0") or counts.items() <= streams.items(), f"{counts} of {streams}")

    until_streams(request=1, response=1)
    page.evaluate(_HIDE, True)
    until(lambda: page.evaluate("0") or streams.total() == 3, "the end of the stream")
    page.evaluate(_HIDE, False)
    until_streams(request=2, response=2)


def test_a_page_comes_back_by_itself(shop: World, visit: Visit) -> None:
    """While the daemon is away, a page says so. When it is back, the page shows what has happened since."""
    page = visit().open("/")
    expect(page.locator("#connection")).to_be_hidden()
    shop.pause()
    try:
        expect(page.locator("#connection")).to_be_visible()
        before = shop.active()
        shop.commit("Close early", version=f"{before + 1}")
    finally:
        shop.resume()
    expect(page.locator("#connection")).to_be_hidden()
    until(lambda: shop.active() == before + 1, "the next release")
    expect(page.get_by_role("main")).to_contain_text(f"release {before + 1}")

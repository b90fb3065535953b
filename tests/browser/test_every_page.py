"""What holds for every page: everybody can read it, on every screen, in every theme, and without JavaScript."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from playwright.sync_api import Response, ViewportSize
from starlette.routing import Route

from pipeline.web.app import WebApp
from pipeline.web.catalogue import Catalogue
from pipeline.web.settings import WebSettings
from pipeline.web.theme import Theme
from tests.browser.addresses import NO_PAGES, OF_HOSTS, addresses, paths
from tests.browser.axe import findings
from tests.browser.visits import Visit
from tests.support.web import WebServer

PAGES = addresses()
# In bytes, as they come through the network.
MAX_FIRST_PAINT = 120_000
NARROW, WIDE = ViewportSize(width=360, height=740), ViewportSize(width=1280, height=720)
SCREENS = [
    pytest.param(str(Theme.LIGHT), NARROW, id="narrow"),
    *(
        pytest.param(str(theme), WIDE, id=str(theme), marks=pytest.mark.long)
        for theme in Theme
        if theme is not Theme.AUTO
    ),
]
# What has a name for a screen reader, and how wide the page is. A table may scroll within its own box.
_WIDTHS = "() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
_WIDE = """() => [...document.querySelectorAll("body *")].filter(each => {
    const box = each.getBoundingClientRect();
    return box.width && box.right > document.documentElement.clientWidth + 1;
}).slice(0, 3).map(each => each.outerHTML.slice(0, 150))"""


def size_of(answer: Response) -> int:
    """Return the bytes of a response as they came."""
    sizes = answer.request.sizes()
    return sizes["responseBodySize"] + sizes["responseHeadersSize"]


def with_long(values: Iterable[str], *short: str) -> list[object]:
    """Return values as parameters, of which all but some are long."""
    return [value if value in short else pytest.param(value, marks=pytest.mark.long) for value in values]


@pytest.fixture
def visit_page(request: pytest.FixtureRequest, name: str) -> Visit:
    """Let a user log in to the shop that has the page `name`."""
    found: Visit = request.getfixturevalue("visit_hosts" if name in OF_HOSTS else "visit")
    return found


def status_of(name: str) -> int:
    """Return the status of the response with a page."""
    return 404 if name == "missing" else 200


def test_every_route_is_a_page_of_these_tests(hosts: WebServer) -> None:
    """A page that is added to the router is in the lists of this file, or the test fails."""
    routes = WebApp(hosts.reports, WebSettings(), "127.0.0.1:1").app().routes
    shown = {route.path for route in routes if isinstance(route, Route) and "GET" in (route.methods or ())}
    downloads = {each.path for each in Catalogue.load().downloads}
    assert shown - NO_PAGES - downloads == set(paths().values())
    assert PAGES.keys() == paths().keys()


@pytest.mark.parametrize(("theme", "screen"), SCREENS)
@pytest.mark.parametrize("name", PAGES)
def test_accessibility(name: str, theme: str, screen: ViewportSize, visit_page: Visit) -> None:
    """axe-core has no serious finding, in each theme, and on a small screen."""
    visitor = visit_page(viewport=screen)
    visitor.context.add_cookies([{"name": "penstock-theme", "value": theme, "url": visitor.url}])
    page = visitor.open(PAGES[name], status_of(name))
    assert page.locator("html").get_attribute("data-theme") == theme
    assert findings(page) == []


@pytest.mark.parametrize("name", with_long(PAGES, "now", "topology", "traffic"))
def test_small_screen_and_slow_line(name: str, visit_page: Visit) -> None:
    """At 360 pixels a page is not wider than the screen. Its first paint takes at most 120 kB.

    It has one first heading, one `main`, a title, a language, and no id twice.
    """
    visitor = visit_page(viewport=NARROW)
    answers: list[Response] = []
    visitor.context.on("response", lambda answer: answers.append(answer))
    page = visitor.open(PAGES[name], status_of(name))
    width, screen = page.evaluate(_WIDTHS)
    assert width <= screen, page.evaluate(_WIDE)
    loaded = (answer for answer in answers if "/live/" not in answer.url)
    sizes = {each.url: size_of(each) for each in loaded}
    assert sum(sizes.values()) <= MAX_FIRST_PAINT, sizes
    assert page.locator("h1").count() == page.get_by_role("main").count() == 1
    assert page.title()
    assert page.locator("html").get_attribute("lang") == "en"
    ids = page.evaluate("() => [...document.querySelectorAll('[id]')].map(each => each.id)")
    assert sorted(ids) == sorted(set(ids))


@pytest.mark.parametrize("name", with_long(PAGES, "now", "topology", "traffic"))
def test_without_javascript(name: str, visit_page: Visit) -> None:
    """Without JavaScript a page says the same, except for the pictures of charts."""
    path, status = PAGES[name], status_of(name)
    page, plain = visit_page().open(path, status), visit_page(java_script_enabled=False).open(path, status)
    # A chart needs its script. Its numbers are in a table.
    charts = page.locator("h2[id^=chart-]").all_inner_texts()
    headings = [text for text in page.get_by_role("heading").all_inner_texts() if text not in charts]
    assert [text for text in plain.get_by_role("heading").all_inner_texts() if text] == headings != []


@pytest.mark.parametrize("name", with_long(PAGES, "now", "run", "service"))
def test_looking_changes_nothing(name: str, visit_page: Visit) -> None:
    """A user who may only look sees the page, and no button that begins an action."""
    page = visit_page("grace", "look").open(PAGES[name], status_of(name))
    assert page.locator("main .operate, main form[method='post']").count() == 0

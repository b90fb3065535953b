"""What holds for every page: everybody can read it, on every screen, in every theme, and without JavaScript."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Response

from pipeline.web.theme import Theme
from tests.browser.addresses import addresses
from tests.browser.axe import findings
from tests.browser.visits import Visit
from tests.support.waiting import until

PAGES = addresses()
THEMES = [str(theme) for theme in Theme if theme is not Theme.AUTO]
# In bytes, as they come through the network.
MAX_FIRST_PAINT = 120_000
NARROW = {"width": 360, "height": 740}
# What has a name for a screen reader, and how wide the page is. A table may scroll within its own box.
_WIDTHS = "() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
_WIDE = """() => [...document.querySelectorAll("body *")].filter(each => {
    const box = each.getBoundingClientRect();
    return box.width && box.right > document.documentElement.clientWidth + 1;
}).slice(0, 3).map(each => each.outerHTML.slice(0, 150))"""


def choose_theme(page: Page, theme: str) -> None:
    """Choose the colours by the form at the end of a page."""
    form = page.locator("form[action='/theme']")
    form.get_by_role("combobox").select_option(theme)
    form.get_by_role("button").click()
    until(lambda: page.locator("html").get_attribute("data-theme") == theme, f"the theme {theme}")


@pytest.mark.parametrize("name", PAGES)
def test_accessibility(name: str, visit: Visit) -> None:
    """axe-core has no serious finding, in each theme."""
    visitor = visit()
    found = []
    for theme in THEMES:
        choose_theme(visitor.open("/"), theme)
        found += [f"{theme}: {each}" for each in findings(visitor.open(PAGES[name]))]
    assert found == []


@pytest.mark.parametrize("name", PAGES)
def test_narrow_screen(name: str, visit: Visit) -> None:
    """At 360 pixels a page is not wider than the screen."""
    page = visit(viewport=NARROW).open(PAGES[name])
    width, screen = page.evaluate(_WIDTHS)
    assert width <= screen, page.evaluate(_WIDE)


@pytest.mark.parametrize("name", PAGES)
def test_structure(name: str, visit: Visit) -> None:
    """A page has one first heading, one `main`, a title, a language, and no part twice."""
    page = visit().open(PAGES[name])
    assert page.locator("h1").count() == 1
    assert page.get_by_role("main").count() == 1
    assert page.title()
    assert page.locator("html").get_attribute("lang") == "en"
    ids = page.evaluate("() => [...document.querySelectorAll('[id]')].map(each => each.id)")
    assert sorted(ids) == sorted(set(ids))


@pytest.mark.parametrize("name", PAGES)
def test_first_paint_is_small(name: str, visit: Visit) -> None:
    """What a browser without anything in its cache gets for a page is at most 120 kB."""
    visitor = visit()
    answers: list[Response] = []
    visitor.context.on("response", lambda answer: answers.append(answer))
    page = visitor.open(PAGES[name])
    page.wait_for_load_state("load")
    sizes = {
        answer.url: answer.request.sizes()["responseBodySize"] + answer.request.sizes()["responseHeadersSize"]
        for answer in answers
        if "/live/" not in answer.url
    }
    assert sum(sizes.values()) <= MAX_FIRST_PAINT, sizes


@pytest.mark.parametrize("name", PAGES)
def test_without_javascript(name: str, visit: Visit) -> None:
    """Without JavaScript a page says the same."""
    visitor, plain = visit(), visit(java_script_enabled=False)
    page, other = visitor.open(PAGES[name]), plain.open(PAGES[name])
    # Without scripts, Playwright cannot evaluate either, so both are read as the accessibility tree.
    headings = [page.get_by_role("heading").all_inner_texts(), other.get_by_role("heading").all_inner_texts()]
    assert headings[0] == headings[1] != []


@pytest.mark.parametrize("name", PAGES)
def test_looking_changes_nothing(name: str, visit: Visit) -> None:
    """A user who may only look sees the page, and no button that begins an action."""
    page = visit("grace", "look").open(PAGES[name])
    assert page.locator("main .operate, main form[method='post']").count() == 0

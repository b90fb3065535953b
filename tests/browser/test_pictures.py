"""The pictures of README and docs are those of the pages.

`pytest tests/browser/test_pictures.py --rewrite-pictures` makes them again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.gallery import Gallery
from tests.browser.picture import MAX_BYTES, MAX_DIFFERENCE, difference, stored, structure_of, take
from tests.support.browser import Visitor
from tests.support.paths import ROOT

pytestmark = pytest.mark.long
FOLDER = ROOT / "docs" / "pictures"
PAGES = {
    "run": "/pipelines/blog/runs/2",
    "topology": "/topology",
    "now": "/",
    "difference": "/pipelines/shop/releases/compare?before=1&after=2",
}
SIZE = {"width": 1180, "height": 940}
# What differs from run to run in more than numbers: the latest events, the log, and who looks.
_CHANGING = ("#events", "#log", "#moments", "#stages", "body > footer", "body > dialog")


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    """Two pipelines in the middle of their deployments."""
    gallery = Gallery(tmp_path_factory.mktemp("gallery"))
    try:
        with gallery.in_progress():
            yield gallery
    finally:
        gallery.remove()


def is_ready(page: Page, name: str) -> None:
    """Wait until a page shows what its picture has."""
    texts = {"now": "Take gift cards", "topology": "20 %", "run": "draining", "difference": "Sell tea"}
    expect(page.get_by_role("main")).to_contain_text(texts[name])


@pytest.mark.parametrize("name", PAGES)
def test_pictures_are_current(
    name: str, gallery: Gallery, browser: Browser, pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    """A picture has the structure that its page has now, looks like it from afar, and is small."""
    visitor = Visitor(browser, gallery.url, viewport=SIZE, color_scheme="light")
    try:
        visitor.log_in(gallery.login("ada"))
        page = visitor.open(PAGES[name])
        is_ready(page, name)
        made = take(page, *_CHANGING)
    finally:
        visitor.close()
    path = FOLDER / f"{name}.png"
    if pytestconfig.getoption("--rewrite-pictures", default=False):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(made)
    committed = stored(path)
    (tmp_path / path.name).write_bytes(made)
    hint = f"look at {tmp_path / path.name}, then: pytest tests/browser/test_pictures.py --rewrite-pictures"
    assert structure_of(made) == structure_of(committed), hint
    blank = browser.new_page()
    try:
        assert difference(blank, made, committed) <= MAX_DIFFERENCE, hint
    finally:
        blank.close()
    assert len(committed) <= MAX_BYTES

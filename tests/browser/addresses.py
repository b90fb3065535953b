"""Addresses of all pages, with arguments that exist in the shop."""

from __future__ import annotations

import re

from pipeline.web.catalogue import Catalogue
from tests.browser.world import NAME, STACK

ARGUMENTS = {
    "pipeline": NAME,
    "run": "1",
    "number": "1",
    "release": "1",
    "service": "web",
    "accessory": "db",
    "job": "nightly",
    "stack": STACK,
}
"""The value of each argument in the path of a page."""
QUERIES = {"release-difference": "?before=1&after=1"}
"""What a page shows is empty without."""
ELSEWHERE = frozenset({"drain", "restore"})
"""Pages that need several hosts or a backup, which the shop has not."""


def addresses() -> dict[str, str]:
    """Return the address of each page by its name. Fails for an argument without a value."""
    pages = (page for page in Catalogue.load().pages if page.name not in ELSEWHERE)
    return {page.name: _filled(page.path) + QUERIES.get(page.name, "") for page in pages}


def _filled(path: str) -> str:
    return re.sub(r"{(\w+)(:\w+)?}", lambda found: ARGUMENTS[found[1]], path)

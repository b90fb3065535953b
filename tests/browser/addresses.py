"""Addresses of all pages, with arguments that exist in the shop."""

from __future__ import annotations

import re

from pipeline.web.catalogue import Catalogue
from tests.browser.host_shop import HOSTS
from tests.browser.world import MADE, NAME, STACK

ARGUMENTS = {
    "pipeline": NAME,
    "run": "1",
    "number": "1",
    "release": "1",
    "service": "web",
    "accessory": "db",
    "job": "nightly",
    "stack": STACK,
    "node": HOSTS[0],
}
"""The value of each argument in the path of a page."""
QUERIES = {"release-difference": "?before=1&after=1", "restore": f"?backup={MADE:%Y%m%dT%H%M%SZ}"}
"""What a page shows is empty without."""
OF_HOSTS = frozenset({"drain"})
"""Pages that need several hosts: see `host_shop.py`."""
OTHERS = {"login": "/login", "missing": "/{path:path}"}
"""Pages that are not in the catalogue."""
NO_PAGES = frozenset({"/static/{name}", "/live/{page}"})
"""Routes that answer with something else than a page, beside those of downloads."""


def paths() -> dict[str, str]:
    """Return the path of each page by its name, as the router has it."""
    return {**{page.name: page.path for page in Catalogue.load().pages}, **OTHERS}


def addresses() -> dict[str, str]:
    """Return the address of each page by its name. Fails for an argument without a value."""
    return {name: _filled(path) + QUERIES.get(name, "") for name, path in paths().items()}


def _filled(path: str) -> str:
    return (
        "/nothing" if path == OTHERS["missing"] else re.sub(r"{(\w+)(:\w+)?}", lambda found: ARGUMENTS[found[1]], path)
    )

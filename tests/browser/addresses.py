"""Addresses of all pages, with arguments that exist in the shop."""

from __future__ import annotations

import re

from pipeline.web.catalogue import Catalogue
from tests.browser.world import NAME

ARGUMENTS = {"pipeline": NAME, "number": "1", "run": "1", "release": "1", "service": "web", "name": "web"}
"""The value of each argument in the path of a page."""


def addresses() -> dict[str, str]:
    """Return the address of each page by its name. Fails for an argument without a value."""
    return {page.name: _filled(page.path) for page in Catalogue.load().pages}


def _filled(path: str) -> str:
    return re.sub(r"{(\w+)(:\w+)?}", lambda found: ARGUMENTS[found[1]], path)

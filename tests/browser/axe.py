"""axe-core, which finds what keeps people from using a page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from playwright.sync_api import Page

from tests.support.paths import ROOT

_FOLDER = ROOT / ".setup" / "axe-core"
# The rules of WCAG 2.2 up to AA, and axe's own.
_RUN = """() => axe.run(document, {
    resultTypes: ["violations"],
    runOnly: {type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]},
})"""


def findings(page: Page, impacts: Sequence[str] = ("serious", "critical")) -> list[str]:
    """Return a line per finding of these impacts: the rule, what it says, and the first elements."""
    page.evaluate(_script())
    found: dict[str, Any] = page.evaluate(_RUN)
    return [
        f"{each['id']} ({each['impact']}): {each['help']}: "
        + "; ".join(json.dumps(node["target"]) + " " + node["html"][:120] for node in each["nodes"][:3])
        for each in found["violations"]
        if each["impact"] in impacts
    ]


def _script() -> str:
    (path,) = _FOLDER.glob("*/axe.min.js")
    return path.read_text()

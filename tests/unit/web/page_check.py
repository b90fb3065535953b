"""What no page may have, whatever texts are on it."""

from __future__ import annotations

from html.parser import HTMLParser

from tests.support.paths import ROOT


class Elements(HTMLParser):
    """The elements and the attributes of a page, as a browser reads them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.styles: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "style":
            self.styles.append(data)


def check_page(text: str) -> None:
    """Fail if a page has an element that a marker could have made, or what the policy of content refuses."""
    elements = Elements(text)
    for style in elements.styles:
        assert not _without_sheets(style), style
    for tag, attributes in elements.found:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        assert "style" not in attributes, (tag, attributes)
        assert tag not in ("iframe", "object", "embed", "base", "hx-partial"), (tag, attributes)
        assert tag != "script" or attributes["src"].startswith("/static/"), attributes
        assert tag != "img" or attributes["src"].startswith(("/", "data:image/")), attributes
        for name in ("href", "src", "action", "formaction", "hx-get", "hx-post", "hx-sse:connect"):
            assert attributes.get(name, "/").startswith(("/", "#", "https://", "http://")), (tag, attributes)
    # What a template would make of a marker. Digests have no such number by chance.
    assert "829348951" not in text


def _without_sheets(style: str) -> str:
    """Return what a style sheet has besides those of the package."""
    for sheet in (ROOT / "pipeline/web/static").glob("*.css"):
        style = style.replace(sheet.read_text(), "")
    return style

"""What no page may have, whatever texts are on it."""

from __future__ import annotations

from html.parser import HTMLParser


class Elements(HTMLParser):
    """The elements and the attributes of a page, as a browser reads them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))


def check_page(text: str) -> None:
    """Fail if a page has an element that a marker could have made, or what the policy of content refuses."""
    for tag, attributes in Elements(text).found:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        assert "style" not in attributes, (tag, attributes)
        assert tag not in ("style", "iframe", "object", "embed", "base", "hx-partial"), (tag, attributes)
        assert tag != "script" or attributes["src"].startswith("/static/"), attributes
        assert tag != "img" or attributes["src"].startswith(("/", "data:image/")), attributes
        for name in ("href", "src", "action", "formaction", "hx-get", "hx-post", "hx-sse:connect"):
            assert attributes.get(name, "/").startswith(("/", "#", "https://", "http://")), (tag, attributes)
    # What a template would make of a marker. Digests have no such number by chance.
    assert "829348951" not in text

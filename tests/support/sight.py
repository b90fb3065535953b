"""When something shows on a page, by the clock of this machine."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.support.waiting import until

# Looks at every change of the document, so the time is that of the change and not of a poll.
_WATCH = """([key, selector, text]) => {
    const seen = () => [...document.querySelectorAll(selector)].some(each => each.textContent.includes(text));
    const times = (window.sights ??= {});
    times[key] = seen() ? Date.now() : 0;
    if (times[key]) return;
    const observer = new MutationObserver(() => {
        if (!seen()) return;
        times[key] = Date.now();
        observer.disconnect();
    });
    observer.observe(document, {subtree: true, childList: true, characterData: true, attributes: true});
}"""


class Sight:
    """Waits for a text in an element of a page. Begins at once."""

    def __init__(self, page: Page, selector: str, text: str) -> None:
        self._page = page
        self._key = f"{selector} {text}"
        page.evaluate(_WATCH, [self._key, selector, text])

    def time(self) -> float:
        """Wait until it shows, and return the time in seconds since 1970."""
        at = until(lambda: self._page.evaluate("key => window.sights[key]", self._key), self._key, interval=0.05)
        return float(at) / 1000

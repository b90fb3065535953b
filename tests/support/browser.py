"""Debian's Chromium, and pages that a test watches for errors and for requests to elsewhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.support.waiting import DEADLINE, SOON

PROGRAM = "chromium"
MISSING = "no Chromium on this machine (setup/browser.sh)"
# In milliseconds, of one step.
_TIMEOUT = SOON * 1000
# What a browser writes while the daemon is down, and when a form is refused on purpose.
_NETWORK = ("Failed to load resource", "htmx: htmx:sse:error")

expect.set_options(timeout=_TIMEOUT)


def require_browser() -> None:
    """Skip the test without a browser. In CI, fail: a skip would hide the fault."""
    if not shutil.which(PROGRAM):
        assert not os.environ.get("CI"), MISSING
        pytest.skip(MISSING)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a browser without a window."""
    require_browser()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which(PROGRAM),
            # Root has no sandbox, and /dev/shm of a container is small.
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
            timeout=DEADLINE * 1000,
        )
        try:
            yield browser
        finally:
            browser.close()


class Visitor:
    """A user with a browser of his own: cookies, and pages that are watched.

    `errors` are the errors of scripts, violations of the security policy, and requests to another origin.
    """

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.url = url
        self.errors: list[str] = []
        self.context: BrowserContext = browser.new_context(base_url=url, locale="en-GB", timezone_id="UTC", **options)
        self.context.set_default_timeout(_TIMEOUT)
        self.context.on("request", self._check_origin)
        self.context.on("console", self._check_message)
        self.context.on("weberror", lambda error: self.errors.append(f"script: {error.error}"))

    def log_in(self, link: str) -> None:
        """Follow a link of `pipeline web login`, and press its button."""
        page = self.context.new_page()
        page.goto(link)
        page.get_by_role("main").get_by_role("button").click()
        page.wait_for_url(lambda url: "login" not in url)
        page.close()

    def open(self, path: str, status: int = 200) -> Page:
        """Open a page in a new tab. Fails if the response has another status."""
        page = self.context.new_page()
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == status, f"{path}: {answer.status}"
        return page

    def close(self) -> None:
        """Close every page."""
        self.context.close()

    def _check_origin(self, request: Request) -> None:
        if request.url.startswith(("data:", "blob:")):
            return
        if urlsplit(request.url)[:2] != urlsplit(self.url)[:2]:
            self.errors.append(f"request to {request.url}")

    def _check_message(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(_NETWORK):
            self.errors.append(f"console: {message.text}")

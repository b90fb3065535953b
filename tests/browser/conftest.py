"""A browser, and a shop with its daemon and web interface. The tests of a file share both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, StorageState

from tests.browser.visits import Visit
from tests.browser.world import World
from tests.support.browser import Visitor, chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A shop whose first release is active."""
    world = World(tmp_path_factory.mktemp("world"))
    try:
        world.start()
        world.await_run(1)
        yield world
    finally:
        world.remove()


@pytest.fixture(scope="session")
def cookies() -> dict[tuple[str, str], StorageState]:
    """The cookies of those who have logged in, by name and role."""
    return {}


@pytest.fixture
def visit(browser: Browser, shop: World, cookies: dict[tuple[str, str], StorageState]) -> Iterator[Visit]:
    """Let a user log in. Fails if one of his pages had an error, or asked another origin for something."""
    visitors: list[Visitor] = []

    def visit(user: str = "ada", role: str = "operate", **options: Any) -> Visitor:
        known = cookies.get((user, role))
        visitors.append(visitor := Visitor(browser, shop.url, storage_state=known, **options))
        if not known:
            visitor.log_in(shop.login(user, role))
            cookies[user, role] = visitor.context.storage_state()
        return visitor

    yield visit
    for visitor in visitors:
        visitor.close()
    assert [error for visitor in visitors for error in visitor.errors] == []

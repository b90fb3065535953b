"""A browser, and a shop with its daemon and web interface. The tests of a file share both."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, StorageState

from pipeline.store.web_sessions import Role
from pipeline.web.sessions import new_login
from tests.browser.host_shop import host_shop
from tests.browser.visits import Visit
from tests.browser.world import World
from tests.support.browser import Visitor, chromium
from tests.support.web import WebServer

LINES = 25


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--rewrite-pictures`."""
    parser.addoption("--rewrite-pictures", action="store_true", help="make the pictures of README and docs again")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the latest lines of the daemon to the report of a failed test."""
    report = yield
    shop = getattr(item, "funcargs", {}).get("shop")
    if report.failed and isinstance(shop, World):
        report.sections.append(("the daemon", "\n".join(shop.log().splitlines()[-LINES:])))
    return report


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A shop whose second release is active, a backup, and a stack."""
    world = World(tmp_path_factory.mktemp("world"))
    try:
        world.start()
        world.await_run(1)
        world.create_stack()
        world.write_backup()
        world.commit("Open longer", version="1.1")
        world.await_run(2)
        yield world
    finally:
        world.remove()


@pytest.fixture(scope="session")
def cookies() -> dict[tuple[str, str], StorageState]:
    """The cookies of those who have logged in, by name and role."""
    return {}


@pytest.fixture(autouse=True)
def settled(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test, nothing is in progress in its shop, and the next commit has the settings of a new one."""
    shop = request.getfixturevalue("shop") if "shop" in request.fixturenames else None
    yield
    if isinstance(shop, World):
        shop.settle()


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
    _close(visitors)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[WebServer]:
    """A shop with two hosts."""
    with host_shop(tmp_path) as server:
        yield server


@pytest.fixture
def visit_hosts(browser: Browser, hosts: WebServer) -> Iterator[Visit]:
    """Let a user log in to the shop with two hosts. Fails as `visit` does."""
    visitors: list[Visitor] = []

    def visit(user: str = "ada", role: str = "operate", **options: Any) -> Visitor:
        visitors.append(visitor := Visitor(browser, f"http://127.0.0.1:{hosts.port}", **options))
        link = new_login(hosts.store, user, Role(role), hosts.reports.clock.now().wall)
        visitor.log_in(f"{visitor.url}/login?link={link}")
        return visitor

    yield visit
    _close(visitors)


def _close(visitors: Sequence[Visitor]) -> None:
    for visitor in visitors:
        visitor.close()
    assert [error for visitor in visitors for error in visitor.errors] == []

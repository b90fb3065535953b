"""The pages of releases: their difference, and a rollback by click."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visits import Visit
from tests.browser.world import World

LIST = "/pipelines/shop/releases"


@pytest.fixture
def two_releases(shop: World) -> tuple[int, int]:
    """The previous and the active release. The active one has fewer replicas."""
    before, run = shop.active(), shop.last_run().number + 1
    shop.commit("Sell tea <b>hot</b>", version="tea", replicas=2)
    shop.await_run(run)
    return before, shop.active()


@pytest.mark.long
def test_the_difference_of_two_releases(two_releases: tuple[int, int], visit: Visit) -> None:
    """Two chosen releases are compared: their commits, and the settings that differ. Text of commits stays text."""
    page = visit().open(LIST)
    page.get_by_role("combobox", name="From release").select_option(str(two_releases[0]))
    page.get_by_role("combobox", name="to release").select_option(str(two_releases[1]))
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("region", name="Commits")).to_contain_text("Sell tea <b>hot</b>")
    configuration = page.get_by_role("region", name="Configuration", exact=True)
    expect(configuration).to_contain_text("deploy.services.web.environment.VERSION")
    assert page.locator("main b").count() == 0


def roll_back(page: Page, release: int) -> None:
    """Follow the link to the plan of a rollback, and press its button."""
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=str(release), exact=True))
    row.get_by_role("link", name="Plan a rollback").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"back to release {release}")
    page.get_by_role("main").get_by_role("button").click()


def test_a_rollback_by_click_loses_nothing(shop: World, two_releases: tuple[int, int], visit: Visit) -> None:
    """A rollback shows its plan before. Under load it loses no request, and its event names the user."""
    page, before = visit("margaret").open(LIST), len(shop.events("run.queued"))
    with shop.load(60) as load:
        roll_back(page, two_releases[0])
        shop.await_run(shop.await_event("run.queued", before + 1).run or 0)
        report = load.stop()
    assert report.failed == 0, report.failures
    assert shop.active() == two_releases[0]
    page.goto(LIST)
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=str(two_releases[0]), exact=True))
    expect(row).to_contain_text("active")
    assert "run.queued" in shop.acts("margaret")


@pytest.mark.long
def test_the_list_follows_a_deployment(shop: World, visit: Visit) -> None:
    """An open list shows the new release as pending, then as active, without a reload."""
    page = visit().open(LIST)
    shop.commit("Sell matcha", version="matcha")
    row = page.get_by_role("row").filter(has_text="Sell matcha")
    expect(row).to_contain_text("active")
    assert row.get_by_role("rowheader").inner_text() == str(shop.active())


@pytest.mark.long
def test_a_rollback_without_javascript(shop: World, two_releases: tuple[int, int], visit: Visit) -> None:
    """The plan, the button and the message after it work without JavaScript."""
    page, before = visit(java_script_enabled=False).open(LIST), len(shop.events("run.queued"))
    roll_back(page, two_releases[0])
    expect(page.locator("#message")).to_contain_text(f"rolls shop back to release {two_releases[0]}")
    shop.await_run(shop.await_event("run.queued", before + 1).run or 0)
    assert shop.active() == two_releases[0]

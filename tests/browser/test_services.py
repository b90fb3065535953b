"""The pages of services, accessories, jobs and stacks, and their buttons."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.visits import Visit
from tests.browser.world import STACK, World
from tests.support.waiting import until

SERVICES = "/pipelines/shop/services"


@pytest.mark.long
def test_scale_by_click(shop: World, visit: Visit) -> None:
    """Another number of replicas is wanted by a button, and the table follows. The event names the user."""
    page = visit("grace").open(f"{SERVICES}/api")
    page.get_by_role("spinbutton", name="Replicas").fill("3")
    page.get_by_role("button", name="Scale").click()
    until(lambda: len(shop.targets("api")) == 3, "three targets")
    expect(page.get_by_role("region", name="Replicas of api").get_by_role("rowheader")).to_have_count(3)
    assert "run.queued" in shop.acts("grace")


@pytest.mark.long
def test_replace_all_replicas_by_click(shop: World, visit: Visit) -> None:
    """A restart by click replaces each replica under load, and loses no request."""
    page, before = visit().open(f"{SERVICES}/web"), {health.target.id for health in shop.targets()}
    with shop.load(40) as load:
        page.get_by_role("button", name="Replace all replicas").click()
        until(lambda: before.isdisjoint({health.target.id for health in shop.targets()}), "other targets")
        until(lambda: shop.last_run().state.over, "the end of the restart")
        report = load.stop()
    assert report.failed == 0, report.failures
    for name in before:
        expect(page.get_by_role("rowheader", name=name)).to_have_count(0)


def test_the_log_of_a_service(shop: World, visit: Visit) -> None:
    """What a container prints appears in the open page, as text."""
    page = visit().open(f"{SERVICES}/web")
    shop.get("/print?line=%3Cem%3Esold+out%3C%2Fem%3E")
    expect(page.get_by_role("region", name="Log")).to_contain_text("<em>sold out</em>")
    assert page.locator("main em").count() == 0


@pytest.mark.long
def test_a_job_by_click(shop: World, visit: Visit) -> None:
    """A job that is started by click shows its run, its log, and who started it."""
    page = visit("linus").open("/pipelines/shop/jobs/nightly")
    page.get_by_role("button", name="Run now").click()
    expect(page.get_by_role("region", name="Runs", exact=True)).to_contain_text("succeeded")
    expect(page.get_by_role("region", name="Log")).to_contain_text("cleaned 3 carts")
    assert "job.started" in shop.acts("linus")


@pytest.mark.long
def test_stop_and_start_an_accessory(shop: World, visit: Visit) -> None:
    """An accessory is stopped and started by click, and its state follows."""
    page = visit().open("/pipelines/shop/accessories/db")
    state = page.get_by_role("region", name="State")
    expect(state).to_contain_text("running")
    page.get_by_text("Stop or restart").click()
    page.get_by_role("button", name="Stop").click()
    expect(state).to_contain_text("stopped")
    page.get_by_role("button", name="Start").click()
    expect(state).to_contain_text("running")


@pytest.mark.long
def test_all_services(visit: Visit) -> None:
    """The overview counts the healthy replicas of each service, and leads to each service, accessory and job."""
    page = visit().open("/services")
    expect(page.get_by_role("listitem").filter(has_text="queue")).to_contain_text("2 of 2 healthy")
    for name in ("web", "worker", "db", "nightly"):
        page.goto("/services")
        page.get_by_role("main").get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(name)


def test_a_stack_is_deleted_after_its_plan(shop: World, visit: Visit) -> None:
    """The page before it says what is deleted. Then an open page of another user shows the end, and who it was."""
    shop.create_stack("words", "farewell")
    page, other = visit("grace").open("/stacks/words"), visit("linus", "look").open("/stacks/words")
    page.get_by_role("link", name="Plan a deletion").click()
    expect(page.get_by_role("main")).to_contain_text("delete Greeting, AWS::SSM::Parameter: /shop/farewell")
    page.get_by_role("button", name="Delete words").click()
    expect(page.locator("#message")).to_contain_text("words is being deleted.")
    for each in (page, other):
        expect(each.locator("#stack")).to_contain_text("DELETE_COMPLETE")
        expect(each.get_by_role("region", name="Events", exact=True)).to_contain_text("grace")
    assert shop.stack_acts("grace") == [("words", "DELETE_IN_PROGRESS")]


@pytest.mark.long
def test_stacks(visit: Visit) -> None:
    """A stack shows its state, its resources and its events."""
    page = visit().open("/stacks")
    page.get_by_role("link", name=STACK).click()
    expect(page.get_by_role("main")).to_contain_text("CREATE_COMPLETE")
    expect(page.get_by_role("region", name="Resources", exact=True)).to_contain_text("/shop/greeting")
    expect(page.get_by_role("region", name="Events", exact=True)).to_contain_text("Resource creation Initiated")

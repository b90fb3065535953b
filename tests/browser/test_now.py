"""The pages Now, Radiator, Traffic, Access log and Events while things happen."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from pipeline.store.records import RunState
from tests.browser.visits import Visit
from tests.browser.world import World

APPROVAL = "approval: {timeout: 1h}"


@pytest.mark.long
def test_a_sentence_for_each_pipeline(shop: World, visit: Visit) -> None:
    """Now says which release serves and how many targets are healthy, and follows a deployment."""
    page, before = visit().open("/"), shop.active()
    section = page.get_by_role("region", name="shop")
    expect(section).to_contain_text(re.compile(rf"release {before} serves, (\d+) of \1 healthy"))
    shop.commit("Sell tea", version="tea", strategy="{type: canary, percent: 20, bake_time: 1h}")
    expect(section).to_contain_text("in step 1 of 2 of canary, with 20 % of the requests")
    shop.pipeline("promote")
    expect(section).to_contain_text(re.compile(rf"release {before + 1} serves, (\d+) of \1 healthy"))
    expect(section).to_contain_text("Sell tea")


def test_what_waits_for_a_user_can_be_answered(shop: World, visit: Visit) -> None:
    """Now has what waits for the user, with the button. A screen reader is told when it comes."""
    page, number = visit("grace").open("/"), shop.last_run().number + 1
    shop.commit("Sell coffee", version="coffee", extra=APPROVAL)
    expect(page.get_by_role("status").filter(has_text=f"run {number} waits for approval")).to_be_attached()
    expect(page.locator("#questions")).to_contain_text(f"run {number}")
    page.get_by_role("button", name="Approve").click()
    shop.await_run(number)
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    assert "run.approved" in shop.acts("grace")


@pytest.mark.long
def test_an_answer_without_javascript(shop: World, visit: Visit) -> None:
    """Without JavaScript the button leads back to the page, with the effect in a message."""
    number = shop.last_run().number + 1
    shop.commit("Sell cocoa", version="cocoa", extra=APPROVAL)
    shop.await_event("run.waiting", len(shop.events("run.waiting")) + 1)
    page = visit(java_script_enabled=False).open("/")
    page.get_by_role("button", name="Approve").click()
    expect(page.locator("#message")).to_contain_text(f"Run {number} is approved")
    shop.await_run(number)


@pytest.mark.long
def test_a_failed_run_is_a_problem(shop: World, visit: Visit) -> None:
    """Now says that the last run failed, in words."""
    page, number = visit().open("/"), shop.last_run().number + 1
    shop.commit("Break the cart", version="cart", tests="fail")
    shop.await_run(number, RunState.FAILED)
    expect(page.get_by_role("main")).to_contain_text(f"run {number}")
    expect(page.get_by_role("main")).to_contain_text("failed")


@pytest.mark.long
def test_the_radiator(shop: World, visit: Visit) -> None:
    """The radiator has the sentence and nothing to press, and follows as Now does."""
    page, before = visit("wall", "look").open("/radiator"), shop.active()
    expect(page.get_by_role("main")).to_contain_text(f"release {before} serves")
    assert page.get_by_role("navigation").count() == 0
    assert page.get_by_role("main").get_by_role("button").count() == 0
    shop.commit("Sell more", version="more")
    expect(page.get_by_role("main")).to_contain_text(f"release {before + 1} serves")
    size = page.evaluate("() => parseFloat(getComputedStyle(document.querySelector('main p')).fontSize)")
    assert size >= 20


def test_traffic(shop: World, visit: Visit) -> None:
    """The rate and the errors of the last seconds are on the page, and in a table. Deployments are named."""
    page = visit().open("/traffic?pipeline=shop")
    rates = page.get_by_role("region", name="Rates")
    with shop.load(50):
        expect(rates).to_contain_text(re.compile(r"[1-9]\d\.\d requests a second"))
        for _ in range(5):
            assert shop.get("/status?code=503") == 503
        expect(rates).to_contain_text(re.compile(r"5XX: [1-9]"))
    expect(page.get_by_text(f"release {shop.active()}").first).to_be_visible()
    assert page.locator("canvas").count() >= 2
    page.get_by_text("as a table").click()
    expect(page.get_by_role("table").last).to_be_visible()


@pytest.mark.long
def test_the_access_log_is_filtered(shop: World, visit: Visit) -> None:
    """The filter by status shows these requests only, new ones too. What a client sends stays text."""
    page = visit().open("/access-log?status=418")
    shop.get("/status?code=200")
    assert shop.get("/status?code=418&x=<i>tea</i>".replace("<", "%3C").replace(">", "%3E")) == 418
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("418")
    assert shop.get("/status?code=418") == 418
    expect(rows).to_have_count(2)
    assert page.locator("main i").count() == 0


def test_events_come_by_themselves(shop: World, visit: Visit) -> None:
    """An open page gets each event, and the filter by kind shows its events only."""
    page = visit().open("/events")
    everything, target = page.locator("tbody").first, shop.targets()[0].target.id
    shop.kill_target(target, 77)
    expect(everything).to_contain_text(f"{target} exited with code 77")
    page.goto("/events?kind=run.finished")
    kinds = page.locator("tbody tr code").all_inner_texts()
    assert set(kinds) == {"run.finished"}

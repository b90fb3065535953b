"""The page of a run while it is built, approved, deployed, promoted and rolled back, and its buttons."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, expect

from pipeline.store.records import RunState
from tests.browser.visits import Visit
from tests.browser.world import World
from tests.support.waiting import until

APPROVAL = "approval: {timeout: 1h}"
CANARY = "{type: canary, percent: 20, bake_time: 1h}"
ALARMS = "rollback_on: {conditions: [{metric: http_5xx_ratio, worse_than_previous: true}]}"


def next_run(shop: World, subject: str, **settings: object) -> int:
    """Commit, and return the number of the run that follows once it is in progress."""
    number = shop.last_run().number + 1
    shop.commit(subject, **settings)
    until(lambda: (run := shop.last_run()).number == number and run.state is not RunState.QUEUED, f"run {number}")
    return number


def path(number: int) -> str:
    """Return the address of a run."""
    return f"/pipelines/shop/runs/{number}"


def press(page: Page, group: str, button: str | re.Pattern[str]) -> None:
    """Open a group with what it warns of, and press its button."""
    page.locator("#answers summary").filter(has_text=group).click()
    page.locator("#answers").get_by_role("button", name=button).click()


def test_an_approval_is_seen_by_another_user(shop: World, visit: Visit) -> None:
    """A run waits for approval. One user approves it, and the open page of another one follows."""
    number = next_run(shop, "Sell tea", version="tea", extra=APPROVAL)
    ada, grace = visit("ada").open(path(number)), visit("grace").open(path(number))
    for page in (ada, grace):
        expect(page.get_by_role("button", name="Approve")).to_be_visible()
    ada.get_by_role("button", name="Approve").click()
    expect(ada.locator("#message")).to_contain_text(f"Run {number} is approved")
    expect(grace.get_by_role("button", name="Approve")).to_have_count(0)
    expect(grace.get_by_role("main")).to_contain_text("ada")
    shop.await_run(number)
    expect(grace.get_by_role("status").filter(has_text="succeeded").first).to_be_visible()
    assert "run.approved" in shop.acts("ada")


@pytest.mark.long
def test_a_rejection_has_its_reason(shop: World, visit: Visit) -> None:
    """A rejected run fails with the reason that its user has given."""
    number = next_run(shop, "Sell tobacco", version="tobacco", extra=APPROVAL)
    page, before = visit("grace").open(path(number)), shop.active()
    page.locator("#answers summary").filter(has_text="Reject").click()
    page.get_by_label("Reason").first.fill("not on a Friday")
    page.get_by_role("button", name=re.compile("^Reject")).click()
    assert "not on a Friday" in shop.await_run(number, RunState.FAILED).reason
    expect(page.get_by_role("main")).to_contain_text("not on a Friday")
    assert shop.active() == before
    assert "run.rejected" in shop.acts("grace")


@pytest.mark.long
def test_cancel_by_click(shop: World, visit: Visit) -> None:
    """A run whose tests hang is cancelled by click, and its page says so."""
    number = next_run(shop, "Wait for ever", version="wait", tests="wait")
    page = visit("linus").open(path(number))
    press(page, "Cancel", re.compile("^Cancel run"))
    shop.await_run(number, RunState.CANCELLED)
    expect(page.get_by_role("main")).to_contain_text("cancelled")
    expect(page.get_by_role("button", name="Retry")).to_be_visible()
    assert "run.finished" in shop.acts("linus")


@pytest.mark.long
def test_failed_tests_and_a_retry(shop: World, visit: Visit) -> None:
    """A run names the tests that failed. Its report can be downloaded, and the run be repeated by click."""
    number = next_run(shop, "Break the cart", version="cart", tests="fail")
    page = visit("grace").open(path(number))
    shop.await_run(number, RunState.FAILED)
    tests = page.get_by_role("region", name="Tests")
    expect(tests).to_contain_text("1 failed")
    expect(tests).to_contain_text("test_total")
    with page.expect_download() as download:
        page.get_by_role("region", name="Artifacts").get_by_role("link", name=re.compile("junit")).click()
    assert b"assert 3 == 4" in download.value.path().read_bytes()
    page.get_by_role("button", name="Retry").click()
    expect(page.locator("#message")).to_contain_text(f"Run {number + 1} repeats run {number}")
    shop.await_run(number + 1, RunState.FAILED)
    assert "run.queued" in shop.acts("grace")


@pytest.mark.long
def test_the_log_is_beside_the_run(shop: World, visit: Visit) -> None:
    """The log of a run has the output of its build and its tests, and can be downloaded as a whole."""
    number = next_run(shop, "Show the log", version="log", tests="fail")
    page = visit().open(path(number))
    log = page.locator("#log")
    expect(log).to_contain_text("FROM scratch")
    expect(log).to_contain_text("1 of 3 tests failed")
    with page.expect_download() as download:
        log.get_by_role("link", name="Download all").click()
    lines = download.value.path().read_text().splitlines()
    assert any("1 of 3 tests failed" in json.loads(line)["text"] for line in lines)


def test_the_log_grows(shop: World, visit: Visit) -> None:
    """New lines are added at the end. A user who has scrolled up is not moved. What was missed comes later, once."""
    number = next_run(shop, "Wait for lines", version="lines", tests="wait")
    path_of_log = shop.home.run_log("shop", number)

    def write(first: int, last: int) -> None:
        with path_of_log.open("a") as file:
            for each in range(first, last):
                line = {"at": "2026-01-01T12:00:00.000Z", "stage": "test", "text": f"line {each} <b>&amp;"}
                file.write(json.dumps(line) + "\n")

    until(lambda: shop.events("test.started")[-1].run == number, "the tests")
    write(0, 100)
    page = visit().open(path(number))
    lines, box = page.locator("#log-lines"), page.locator(".run-log")
    expect(lines).to_contain_text("line 99 <b>&amp;")
    write(100, 150)
    expect(lines).to_contain_text("line 149 ")
    assert box.evaluate("box => box.scrollTop") == 0
    box.evaluate("box => { box.scrollTop = -400; }")
    seen = page.locator("#log-lines > span").filter(has_text="line 120 ")
    before = seen.bounding_box()
    write(150, 200)
    expect(lines).to_contain_text("line 199 ")
    assert seen.bounding_box() == before
    shop.pause()
    write(200, 700)
    shop.resume()
    expect(lines).to_contain_text("line 699 ")
    texts = page.locator("#log-lines > span").all_text_contents()
    found = [int(match[1]) for text in texts if (match := re.search(r"line (\d+) ", text))]
    assert found == list(range(700))
    # Meanwhile it has moved the page.
    expect(page.locator("#connection")).to_be_hidden()
    assert seen.bounding_box() == before


def test_a_page_does_not_ask_again_for_lines_that_are_not_there(shop: World, visit: Visit) -> None:
    """The file may have no whole line up to where the latest ones end. Later lines come all the same."""
    number = shop.last_run().number
    page = visit().open(path(number))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate(
        """async () => {
            const end = Number(document.getElementById("log").dataset.next) + 10;
            const news = { lines: [], start: end, next: end };
            document.getElementById("log-news").textContent = JSON.stringify(news);
            document.dispatchEvent(new Event("htmx:after:swap"));
            for (let round = 0; round < 10; round++) await (await fetch("/")).text();
        }"""
    )
    with shop.home.run_log("shop", number).open("a") as file:
        file.write(f"{json.dumps({'at': '2026-01-01T12:00:00.000Z', 'stage': 'test', 'text': 'a later line'})}\n")
    expect(page.locator("#log-lines")).to_contain_text("a later line")
    assert 1 <= sum("/log/from/" in each for each in asked) <= 2


@pytest.mark.long
def test_a_page_that_missed_much_of_the_log(shop: World, visit: Visit) -> None:
    """It says how much it leaves out, and goes on with the latest lines. Very many at once are cut in the same way."""
    number = next_run(shop, "Wait for many lines", version="many", tests="wait")
    log = shop.home.run_log("shop", number)

    def write(first: int, last: int) -> None:
        lines = ({"at": "2026-01-01T12:00:00.000Z", "stage": "test", "text": f"line {n} "} for n in range(first, last))
        with log.open("a") as file:
            file.write("".join(f"{json.dumps(line)}\n" for line in lines))

    until(lambda: shop.events("test.started")[-1].run == number, "the tests")
    write(0, 10)
    page = visit().open(path(number))
    lines = page.locator("#log-lines")
    expect(lines).to_contain_text("line 9 ")
    shop.pause()
    write(10, 10_000)
    shop.resume()
    expect(lines).to_contain_text("KiB are left out here")
    expect(lines).to_contain_text("line 9999 ")
    write(10_000, 20_000)
    expect(lines).to_contain_text("line 19999 ")
    expect(lines.get_by_text("KiB are left out here")).to_have_count(2)
    write(20_000, 20_010)
    expect(lines).to_contain_text("line 20009 ")
    found = [int(each) for each in re.findall(r"line (\d+) ", lines.text_content() or "")]
    assert found == sorted(set(found))
    assert found[-200:] == list(range(19_810, 20_010))


@pytest.mark.long
def test_lanes_of_a_deployment(shop: World, visit: Visit) -> None:
    """Each container has a lane with its phases, over the line of healthy targets, which keeps its floor."""
    number = next_run(shop, "Sell tea twice", version="twice")
    page = visit().open(path(number))
    shop.await_run(number)
    containers = page.get_by_role("region", name="Containers")
    new, old = f"shop.web.r{shop.active()}", f"shop.web.r{shop.active() - 1}"
    lanes = containers.get_by_role("listitem")
    expect(lanes.filter(has_text=new)).to_have_count(3)
    expect(lanes.filter(has_text=old)).to_have_count(3)
    expect(lanes.filter(has_text=new).first.get_by_role("img")).to_have_accessible_name(
        re.compile("starting .*initial .*healthy")
    )
    expect(lanes.filter(has_text=old).first.get_by_role("img")).to_have_accessible_name(re.compile("draining .*stop"))
    expect(containers.get_by_role("listitem").filter(has_text="healthy targets").first).to_contain_text("floor 3")
    expect(
        containers.get_by_text(
            re.compile(r"^Healthy targets: 3 at the end, between 3 and 4; .* keeps at least 3")
        ).first
    ).to_be_visible()


@pytest.mark.long
def test_a_canary_is_promoted_by_click(shop: World, visit: Visit) -> None:
    """A canary shows its share and what its alarm still needs. The button promotes it, and the share moves."""
    number = next_run(shop, "Sell coffee", version="coffee", strategy=CANARY, web_extra=ALARMS)
    page = visit("margaret").open(path(number))
    containers = page.get_by_role("region", name="Containers")
    with shop.load(40):
        expect(containers).to_contain_text("20 %")
        expect(containers.get_by_role("table").first).to_contain_text("an alarm needs")
        page.get_by_role("button", name=re.compile("^Promote")).click()
        shop.await_event("deployment.continued")
        expect(containers).to_contain_text("100 %")
        shop.await_run(number)
    assert "deployment.continued" in shop.acts("margaret")


@pytest.mark.long
def test_a_canary_is_aborted_by_click(shop: World, visit: Visit) -> None:
    """The button says what an abort does before. The previous release gets all requests again, and none is lost."""
    before = shop.active()
    number = next_run(shop, "Sell vinegar", version="vinegar", strategy=CANARY)
    page = visit("grace").open(path(number))
    with shop.load(40) as load:
        expect(page.get_by_role("region", name="Containers")).to_contain_text("20 %")
        page.locator("#answers summary").filter(has_text="Abort").click()
        expect(page.locator("#answers")).to_contain_text(f"is rolled back to release {before}")
        page.get_by_role("button", name=re.compile("^Abort")).click()
        shop.await_run(number, RunState.ROLLED_BACK)
        report = load.stop()
    expect(page.get_by_role("status").filter(has_text="rolled back").first).to_be_visible()
    assert report.failed == 0, report.failures
    assert shop.active() == before
    assert shop.acts("grace")


@pytest.mark.long
def test_a_run_is_started_by_click(shop: World, visit: Visit) -> None:
    """The form of the runs starts one and leads to it. The list gets it, and its event names the user."""
    page, number = visit("linus").open("/pipelines/shop/runs"), shop.last_run().number + 1
    page.get_by_text("Start a run").click()
    page.get_by_label("Also if no file changed").check()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Run {number} of shop")
    page.goto("/pipelines/shop/runs")
    expect(page.get_by_role("cell", name=str(number), exact=True)).to_be_visible()
    assert "run.queued" in shop.acts("linus")


@pytest.mark.long
def test_the_list_of_runs_is_filtered(shop: World, visit: Visit) -> None:
    """The filter by state shows those runs only."""
    number = next_run(shop, "Break the till", version="till", tests="fail")
    shop.await_run(number, RunState.FAILED)
    page = visit().open("/pipelines/shop/runs")
    page.get_by_role("combobox", name="State").select_option("failed")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("cell", name=str(number), exact=True)).to_be_visible()
    states = page.get_by_role("region", name="Runs").locator("tbody tr td:nth-child(2)").all_inner_texts()
    assert {state.strip() for state in states} == {"failed"}


@pytest.mark.long
def test_looking_gives_no_button(shop: World, visit: Visit) -> None:
    """Who may only look sees that a run waits, and no button. A request without the button's page is refused."""
    number = next_run(shop, "Sell secrets", version="secrets", extra=APPROVAL)
    visitor = visit("joan", "look")
    page = visitor.open(path(number))
    expect(page.get_by_role("main")).to_contain_text("approval")
    assert page.locator("main form[method=post]").count() == 0
    token = page.locator("meta[name=csrf]").get_attribute("content")
    refused = visitor.context.request.post(
        f"{path(number)}/approve", form={"csrf": token or ""}, headers={"Origin": shop.url}
    )
    assert refused.status == 403
    assert not shop.acts("joan")

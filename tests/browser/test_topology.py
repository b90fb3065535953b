"""The page Topology while targets die, drain and get another share of the requests."""

from __future__ import annotations

import re
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, expect

from pipeline.balancer.model import TargetState
from tests.browser.visits import Visit
from tests.browser.world import World
from tests.support.sight import Sight
from tests.support.waiting import until

# In seconds, the median of some kills.
MAX_DELAY = 0.3
KILLS = 5
CANARY = "{type: canary, percent: 20, bake_time: 1h}"


@contextmanager
def open_requests(shop: World, count: int) -> Iterator[None]:
    """Keep some requests open until the block ends."""
    clients = [threading.Thread(target=shop.get, args=("/hold",)) for _ in range(count)]
    for client in clients:
        client.start()
    until(lambda: sum(health.in_flight for health in shop.targets()) == count, "open requests")
    try:
        yield
    finally:
        shop.get("/release")
        for client in clients:
            client.join()


def width(page: Page, place: str) -> float:
    """Return the width of a bar, 0 if there is none."""
    found: float = page.evaluate("place => Number(document.querySelector(place)?.getAttribute('width') ?? 0)", place)
    return found


@pytest.mark.timing
def test_a_killed_target_is_said_at_once(shop: World, visit: Visit) -> None:
    """The page names a target whose process was killed within 300 ms of its end, in the median of five."""
    page, delays = visit().open("/topology"), []
    for code in range(130, 130 + KILLS):
        name = shop.targets()[0].target.id
        sight = Sight(page, "#news", f"exited with code {code}")
        killed_at = time.time()
        shop.kill_target(name, code)
        delays.append(sight.time() - killed_at)
        expect(page.locator("#news")).to_contain_text(name)
        until(lambda: all(health.state is TargetState.HEALTHY for health in shop.targets()), "healthy targets")
    assert statistics.median(delays) <= MAX_DELAY, delays


def test_a_killed_target_is_named(shop: World, visit: Visit) -> None:
    """The page says which container has exited, with its exit code. A screen reader is told."""
    page, name = visit().open("/topology"), shop.targets()[0].target.id
    shop.kill_target(name, 99)
    news = page.locator("#news")
    expect(news).to_contain_text(f"{name} exited with code 99")
    assert news.get_attribute("role") == "status"


@pytest.mark.long
def test_the_reason_of_an_unhealthy_target(shop: World, visit: Visit) -> None:
    """A target that fails its health check has a word, a shape, and the status that it answered with."""
    page = visit().open("/topology")
    shop.commit("Break the checkout", health=503)
    row = page.get_by_role("listitem").filter(has_text="Health checks failed")
    expect(row.first).to_contain_text("503")
    expect(row.first).to_contain_text("initial")
    assert row.first.locator("svg").count() == 1


def test_a_drain_moves_and_ends(shop: World, visit: Visit) -> None:
    """While a target drains, a bar shows what is left of its delay. It shrinks, and is gone with the target."""
    page = visit().open("/topology")
    run = shop.last_run().number + 1
    with open_requests(shop, 6):
        shop.commit("Sell tea", delay="60s")
        bar = page.locator("rect.drain-left")
        expect(bar.first).to_be_visible()
        expect(page.get_by_role("listitem").filter(has_text=" s left").first).to_contain_text("draining")
        target = page.locator("g.target").filter(has=bar.first)
        name = str(target.first.locator(".name").text_content())
        before = width(page, "rect.drain-left")
        whole = width(page, "rect.drain-whole")
        assert 0 < before <= whole
        until(lambda: 0 < width(page, "rect.drain-left") < before, "a shorter bar")
    shop.await_run(run)
    expect(bar).to_have_count(0)
    expect(page.get_by_text(name)).to_have_count(0)


def test_the_weights_of_a_canary_move(shop: World, visit: Visit) -> None:
    """A canary's share and what is left for the previous release are on the lines, and move when it is promoted."""
    page = visit().open("/topology")
    steps = len(shop.events("shift.step"))
    shop.commit("Sell coffee", strategy=CANARY)
    picture = page.get_by_role("region", name="Picture of load balancer edge")
    with shop.load(40):
        shop.await_event("shift.step", steps + 1)
        expect(picture).to_contain_text("20 %")
        expect(picture).to_contain_text("80 %")
        expect(page.get_by_role("main")).to_contain_text("shop.web (80 %), shop.web-next (20 %)")
        shop.pipeline("promote")
        expect(picture).not_to_contain_text("20 %")
        shop.await_run(shop.last_run().number)
        expect(picture).not_to_contain_text("web-next")


def test_the_way_of_a_request(visit: Visit) -> None:
    """The box lights up the way of a URL, and says why the earlier rules do not match."""
    page = visit().open("/topology")
    box = page.get_by_role("search").get_by_role("textbox").first
    port = re.search(r"http://localhost:(\d+)", page.get_by_role("main").inner_text())
    assert port
    box.fill(f"http://shop.example.com:{port[1]}/cart")
    page.get_by_role("button", name="Show the way").click()
    answer = page.locator("#answer")
    expect(answer).to_contain_text("default action: to shop.web")
    expect(answer).to_contain_text("Rule 10: ")
    expect(answer).to_contain_text("Rule 20: ")
    assert page.locator("g.target.lit, g.lit.target").count() == 3


@pytest.mark.long
def test_a_request_without_a_way(visit: Visit) -> None:
    """A URL that no listener takes gets the reason, and what could be asked instead."""
    page = visit().open("/topology?url=http://shop.example.com:1/")
    expect(page.locator("#answer")).to_contain_text("1")
    assert page.locator("#answer .bad").count() == 1


@pytest.mark.long
def test_rates_follow_the_traffic(shop: World, visit: Visit) -> None:
    """The lines have the requests a second, also for a rule that gets none, and become wider with them."""
    page = visit().open("/topology")
    picture = page.get_by_role("region", name="Picture of load balancer edge")

    def widest() -> float:
        found: float = page.evaluate(
            "() => Math.max(...[...document.querySelectorAll('path.way')]"
            ".map(each => Number(each.getAttribute('stroke-width'))))"
        )
        return found

    before = widest()
    with shop.load(60):
        expect(picture).to_contain_text(re.compile(r"[1-9]\d\.\d/s"))
        until(lambda: widest() > before, "a wider line")
    expect(picture).to_contain_text("0/s")


@pytest.mark.long
def test_zones_of_a_network_load_balancer(visit: Visit) -> None:
    """A network load balancer shows the node of each zone, with its state."""
    page = visit().open("/topology")
    wire = page.get_by_role("region", name=re.compile("^Load balancer wire"))
    for zone in ("zone-a", "zone-b"):
        expect(wire.get_by_role("paragraph").filter(has_text=f"Node {zone}")).to_contain_text("healthy")

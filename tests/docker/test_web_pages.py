"""The web interface in a browser, while containers of a real engine are deployed, drained and killed."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, expect

from pipeline.balancer.model import TargetState
from pipeline.store.records import RunState
from tests.docker.docker_cli import docker
from tests.docker.project import Project, until
from tests.docker.serving import Serving, serving
from tests.docker.shifting_project import assert_lossless, share, with_strategy
from tests.support.browser import Visitor, chromium
from tests.support.ports import free_port
from tests.support.sight import Sight

pytestmark = [pytest.mark.docker, pytest.mark.long]

RUN = "/pipelines/shop/runs/{}"
# In seconds, the median of some kills.
MAX_DELAY = 0.3


@dataclass
class Shop:
    """A project with its daemon, and the users in front of its pages."""

    project: Project
    daemon: Serving
    url: str
    browser: Browser
    visitors: list[Visitor]

    def visit(self, user: str = "ada", role: str = "operate") -> Visitor:
        """Let a user log in."""
        printed = self.project.pipeline("web", "login", "--name", user, "--role", role).out
        link = re.search(r"http\S+", printed)
        assert link, printed
        self.visitors.append(visitor := Visitor(self.browser, self.url))
        visitor.log_in(link[0])
        return visitor

    def acts(self, user: str) -> list[str]:
        """Return the kinds of the events that name a user."""
        with self.project.store() as store:
            found = store.events.latest(self.project.name, limit=10_000)
        return [event.kind for event in found if event.fields.get("by") == user]


@pytest.fixture
def shop(project: Project) -> Iterator[Shop]:
    """A shop whose release 1 is active."""
    address = f"127.0.0.1:{free_port()}"
    with chromium() as browser, serving(project, "--web", address) as daemon:
        daemon.await_run(1)
        shop = Shop(project, daemon, f"http://{address}", browser, [])
        yield shop
        for visitor in shop.visitors:
            visitor.close()
        assert [error for visitor in shop.visitors for error in visitor.errors] == []


def test_a_killed_container_is_said_at_once(shop: Shop) -> None:
    """The page says within 300 ms of `docker kill` that a container has exited, in the median of five."""
    page, delays = shop.visit().open("/topology"), []
    for _ in range(5):
        name = shop.project.containers()[0].name
        sight = Sight(page, "#news", f"{name} exited")
        docker("kill", name)
        # The command returns after the death of the process, so this is the time that users wait at most.
        killed_at = time.time()
        delays.append(max(0.0, sight.time() - killed_at))
        until(
            lambda name=name: (
                name not in {container.name for container in shop.project.containers()}
                and [health.state for health in shop.project.targets()] == [TargetState.HEALTHY] * 2
            ),
            "another container",
        )
    assert statistics.median(delays) <= MAX_DELAY, delays


def test_a_drain_moves_and_ends(shop: Shop) -> None:
    """While a container finishes its requests, its bar shrinks. It is gone with the container."""
    page = shop.visit().open("/topology")
    bar = page.locator("rect.drain-left")
    with shop.project.load(rate=5, posts=0) as load, shop.project.load(rate=5) as slow:
        shop.project.commit("2")
        expect(bar.first).to_be_attached()
        first = float(bar.first.get_attribute("width") or 0)
        assert first > 0
        shop.daemon.await_run(2)
        assert_lossless(load.stop())
        assert_lossless(slow.stop())
    expect(bar).to_have_count(0)


def test_the_weights_of_a_canary_move(shop: Shop) -> None:
    """A canary's share is on its line, and becomes 100 % after it is promoted by click. No request is lost."""
    page = shop.visit("margaret").open("/topology")
    with_strategy(shop.project, "{type: canary, percent: 20, bake_time: 1h}")
    with shop.project.load() as load:
        shop.project.commit("2")
        until(lambda: share(shop.project) == 20, "the first step")
        expect(page.get_by_role("main")).to_contain_text("shop.web (80 %), shop.web-next (20 %)")
        run = shop.visitors[0].open(RUN.format(2))
        run.get_by_role("button", name=re.compile("^Promote")).click()
        shop.daemon.await_run(2)
        expect(page.get_by_role("main")).not_to_contain_text("web-next")
        assert_lossless(load.stop())
    assert "deployment.continued" in shop.acts("margaret")


def test_a_rollback_by_click_loses_nothing(shop: Shop) -> None:
    """The plan is shown before. Under load, no request is lost."""
    shop.project.commit("2")
    shop.daemon.await_run(2)
    page = shop.visit("grace").open("/pipelines/shop/releases")
    with shop.project.load() as load:
        row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="1", exact=True))
        row.get_by_role("link", name="Plan a rollback").click()
        page.get_by_role("main").get_by_role("button").click()
        shop.daemon.await_run(3)
        assert_lossless(load.stop())
    shop.project.assert_serving(1)
    assert "run.queued" in shop.acts("grace")


def test_an_approval_is_seen_by_another_user(shop: Shop) -> None:
    """One user approves a run, and the open page of another one follows by itself."""
    shop.project.configure(("  target_group: web\n", "  target_group: web\n  approval: {timeout: 1h}\n"))
    shop.project.commit("2")
    shop.daemon.await_event("run.waiting")
    ada, grace = (shop.visit(user).open(RUN.format(2)) for user in ("ada", "grace"))
    expect(grace.get_by_role("button", name="Approve")).to_be_visible()
    ada.get_by_role("button", name="Approve").click()
    expect(grace.get_by_role("button", name="Approve")).to_have_count(0)
    shop.daemon.await_run(2)
    expect(grace.get_by_role("main")).to_contain_text("succeeded")
    assert "run.approved" in shop.acts("ada")


def test_the_daemon_is_killed_and_the_page_comes_back(shop: Shop) -> None:
    """After SIGKILL and a restart, the open page shows the run that came meanwhile. It was never loaded again."""
    page = shop.visit().open("/pipelines/shop/runs")
    page.evaluate("() => { window.kept = true; }")
    shop.daemon.kill()
    expect(page.locator("#connection")).to_be_visible()
    shop.project.commit("2")
    shop.daemon.start()
    shop.daemon.await_run(2, RunState.SUCCEEDED)
    expect(page.locator("#connection")).to_be_hidden()
    expect(page.get_by_role("row").filter(has_text="Version 2")).to_contain_text("succeeded")
    assert page.evaluate("() => window.kept") is True

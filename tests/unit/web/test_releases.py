"""The pages about releases: lists, the difference of two, and a rollback with its plan."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.store.records import RunKind
from pipeline.store.web_sessions import Role
from tests.support.fake_stages import FakeStages
from tests.support.shop_pipeline import PIPELINE
from tests.support.stored_release import add_release
from tests.support.web import WebServer, web_server

HOSTILE = "<script>alert(1)</script>\" onload='x'"
SHOWN = "&lt;script&gt;alert(1)&lt;/script&gt;&#34; onload=&#39;x&#39;"
ROLLBACK = "/pipelines/shop/releases/1/rollback"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """Release 1 was active before release 2."""
    FakeStages(lambda _: None).install(monkeypatch)
    with web_server(tmp_path) as found:
        folder = tmp_path
        add_release(found.store, folder, PIPELINE, "a" * 40, subject=HOSTILE, image="a")
        text = PIPELINE.replace(
            "target_group: web}", f"target_group: web, environment: {{A: {json.dumps(HOSTILE)}}}}}", 1
        )
        add_release(found.store, folder, text, "b" * 40, subject="Two", image="b")
        yield found


def test_releases_are_listed(server: WebServer) -> None:
    """On the page of all pipelines and on that of one, with what commits say as text."""
    for path in ("/releases", "/pipelines/shop/releases"):
        page = server.browser().get(path)
        assert page.status == 200
        part = page.part("releases")
        assert part.index("Two") < part.index(SHOWN)
        assert f'href="{ROLLBACK}"' in part
        assert 'href="/pipelines/shop/releases/2/rollback"' not in part, "it is active"
        assert "<script>alert" not in page.text


def test_each_release_leads_to_its_run_and_its_difference(server: WebServer) -> None:
    """From the older one to the newer one. The active release is not compared with itself."""
    part = server.browser(Role.LOOK).get("/pipelines/shop/releases").part("releases")
    assert '<a href="/pipelines/shop/runs/1">run 1</a>' in part
    assert 'href="/pipelines/shop/releases/compare?before=1&amp;after=2">Compare 1 with 2</a>' in part
    assert part.count("releases/compare?") == 1


def test_a_new_release_arrives_on_an_open_page(server: WebServer, tmp_path: Path) -> None:
    """Without a reload."""
    browser = server.browser()
    with browser.follow(browser.live("/pipelines/shop/releases")) as events:
        add_release(server.store, tmp_path, PIPELINE, "c" * 40, subject="Three")
        while "Three" not in next(events):
            """A message that was on its way."""


def test_a_user_who_only_looks_is_offered_no_rollback(server: WebServer) -> None:
    """The plan is shown to everybody, without the button."""
    browser = server.browser(Role.LOOK)
    assert "rollback" not in browser.get("/pipelines/shop/releases").part("releases")
    page = browser.get(ROLLBACK)
    assert "put release 1 back" in page.part("plan")
    assert "Roll back to release" not in page.text
    answer = browser.post(ROLLBACK)
    assert answer.status == 403
    assert server.store.runs.latest("shop") == []


def test_two_releases_are_compared(server: WebServer) -> None:
    """The difference is that of the API. Values are text, and commits that are not known are said to be so."""
    page = server.browser().get("/pipelines/shop/releases/compare?before=1&after=2")
    assert page.status == 200
    part = page.part("difference")
    assert "deploy.environment.A" in part
    assert f"<ins>{SHOWN}</ins>" in part
    assert "<dd>shop:a sha256:a</dd>" in part
    assert "<dd>shop:b sha256:b</dd>" in part
    assert "They are not known" in part
    assert 'href="/pipelines/shop/releases/compare?before=2&amp;after=1"' in part


def test_a_rollback_shows_its_plan_before(server: WebServer) -> None:
    """The button queues a run of the user, and the list says so."""
    browser = server.browser(name="ann")
    page = browser.get(ROLLBACK)
    part = page.part("plan")
    steps, facts = part.index("<li>put release 1 back</li>"), part.index("<li>healthy targets: all</li>")
    assert part.index("<ol>") < steps < part.index("</ol>") < part.index("<ul>") < facts, "a fact is no step"
    assert "Roll back to release 1</button>" in part
    assert server.store.runs.latest("shop") == [], "looking begins nothing"
    answer = browser.post(ROLLBACK)
    assert answer.status == 303
    assert "Run 1 rolls shop back to release 1" in browser.get(answer.headers["location"]).part("message")
    (run,) = server.store.runs.latest("shop")
    assert (run.kind, run.requested, run.by) == (RunKind.ROLLBACK, "1", "ann")


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/pipelines/other/releases", 404, "the daemon does not manage other"),
        ("/pipelines/other/releases/1/rollback", 404, "the daemon does not manage other"),
        ("/pipelines/shop/releases/x/rollback", 404, "release: must be the number of a release, got &#39;x&#39;"),
        ("/pipelines/shop/releases/7/rollback", 409, "there is no release 7"),
        ("/pipelines/shop/releases/2/rollback", 409, "release 2 is already active"),
        ("/pipelines/shop/releases/compare?before=1", 404, "after: must be the number of a release"),
        ("/pipelines/shop/releases/compare?before=1&after=%3Cb%3E", 404, "got &#39;&lt;b&gt;&#39;"),
        ("/pipelines/shop/releases/compare?before=1&after=7", 409, "shop has no release 7"),
    ],
)
def test_what_does_not_exist(server: WebServer, path: str, status: int, message: str) -> None:
    """The page says what is wrong."""
    page = server.browser().get(path)
    assert (page.status, message in page.text) == (status, True), page.text


def test_an_empty_home(tmp_path: Path) -> None:
    """There is nothing to compare."""
    with web_server(tmp_path) as server:
        for path in ("/releases", "/pipelines/shop/releases"):
            assert "shop has no release yet." in server.browser().get(path).part("releases")

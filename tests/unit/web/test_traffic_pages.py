"""The pages Now, Radiator, Traffic, Access log and Events, as a browser without JavaScript sees them."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.base.home import Home
from pipeline.events import Event
from pipeline.store.queue import RunRequest
from pipeline.store.records import DeploymentState, Trigger
from pipeline.store.store import Store
from pipeline.store.web_sessions import Role
from tests.support.access_log import raw
from tests.support.web import WebServer, web_server

HOSTILE = "<img src=x onerror=alert(1)>\"'&"


def log_of(home: Home) -> Path:
    return home.balancer / "access.log"


def prepare(home: Home, store: Store) -> None:
    """Write requests of the last seconds, a deployment and events with markup in them."""
    home.balancer.mkdir(parents=True, exist_ok=True)
    now = int(time.time())
    lines = [
        raw(accepted_seconds=str(now - ago), handshake="0", idle="0", total="0", uri=f"/{ago}?{HOSTILE}", status=status)
        for ago, status in ((400, "200"), (30, "503"), (20, "404"), (12, "200"))
    ]
    log_of(home).write_bytes(b"".join(lines))
    deployment = store.deployments.begin("shop", 3, 1, 2, "rolling")
    store.deployments.finish(deployment, DeploymentState.SUCCEEDED)
    for kind in ("run.started", "host.lost", "job.failed"):
        store.events.record(Event(kind, f"{kind} {HOSTILE}", "shop", None, {"by": HOSTILE}))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WebServer]:
    with web_server(tmp_path, prepare=prepare) as found:
        yield found


def cells(text: str) -> list[list[str]]:
    """Return the cells of the rows of a table, without markup."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", text, re.DOTALL)
    found = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in rows]
    return [[html.unescape(re.sub(r"<[^>]*>", "", cell)).strip() for cell in row] for row in found if row]


@pytest.mark.parametrize("path", ["/", "/radiator", "/traffic", "/access-log", "/events", "/events/older?before=3"])
@pytest.mark.parametrize("role", list(Role))
def test_text_from_outside_is_escaped(server: WebServer, path: str, role: Role) -> None:
    """No page has an element that a log line, an event or a query has brought."""
    answer = server.browser(role).get(path)
    assert answer.status == 200
    assert "<img" not in answer.text


@pytest.mark.parametrize("path", ["/traffic", "/access-log", "/events"])
@pytest.mark.parametrize(
    "field", ["pipeline", "group", "window", "status", "path", "kind", "severity", "run", "target"]
)
def test_queries_are_escaped(server: WebServer, path: str, field: str) -> None:
    """What a link puts into a filter is shown as text, or refused as text."""
    answer = server.browser().get(f"{path}?{field}=%22%3E%3Cimg%20src=x%3E")
    assert answer.status == 200
    assert "<img" not in answer.text


def test_traffic(server: WebServer) -> None:
    """The numbers of the charts are a table, whose rows have full steps, and deployments are listed."""
    page = server.browser().get("/traffic?pipeline=shop&group=shop.web")
    rows = cells(page.part("numbers"))
    assert len(rows) > 50
    assert [sum(int(row[column]) for row in rows) for column in (2, 3)] == [1, 1]
    assert {row[4] for row in rows} == {"-", "41 ms"}
    assert "release 2, run 3" in page.part("deployments")
    assert "3 requests; 4XX: 1, 5XX: 1" in page.part("rates")
    # All requests are there, also with 300 s of them in one answer.
    assert "<option selected>shop.web</option>" in page.part("filters")
    assert "window: must be 5m, 15m, 1h, got 3y" in server.browser().get("/traffic?window=3y").part("rates")


def test_other_groups(server: WebServer) -> None:
    """A pipeline without requests has none, and the steps are there nevertheless."""
    page = server.browser().get("/traffic?pipeline=blog&window=1h")
    assert "0 requests; 4XX: 0, 5XX: 0" in page.part("rates")
    assert "shop" not in page.part("deployments").partition("</ul>")[0]


def test_the_access_log(server: WebServer) -> None:
    """Entries are shown newest first, filters choose among them, and older ones are a page away."""
    browser = server.browser()
    rows = cells(browser.get("/access-log").part("entries"))
    assert [row[1] for row in rows] == ["200", "404", "503", "200"]
    assert [row[1] for row in cells(browser.get("/access-log?status=4XX,503&slower=10ms").part("entries"))] == [
        "404",
        "503",
    ]
    assert "is not a status" in browser.get("/access-log?status=9").part("entries")
    with log_of(server.home).open("ab") as log:
        log.write(raw(uri="/new") * 50)
    first = browser.get("/access-log?method=get")
    assert len(cells(first.part("entries"))) == 50
    link = re.search(r'rel="next" href="([^"]*)"', first.text)
    assert link
    older = browser.get(html.unescape(link[1]))
    assert [row[1] for row in cells(older.part("entries"))] == ["200", "404", "503", "200"]
    assert 'href="/access-log?method=get"' in older.part("entries")
    assert "hx-sse:connect" not in older.text


def test_why_the_access_log_is_empty(server: WebServer) -> None:
    """No entry matches, or there was no request yet. The reason of an error is with its request."""
    browser = server.browser()
    assert "No entry matches." in browser.get("/access-log?path=/none").part("entries")
    rows = cells(browser.get("/access-log?status=503").part("entries"))
    assert len(rows[0]) == 7
    log_of(server.home).write_bytes(b"")
    assert "No request yet." in browser.get("/access-log").part("entries")


def test_deployments_of_several_pipelines_are_told_apart(server: WebServer) -> None:
    """Their marks in the charts have the names of the pipelines."""
    assert 'data-label="release 2"' in server.browser().get("/traffic").part("deployments")
    server.store.deployments.begin("blog", 1, None, 1, "rolling")
    part = server.browser().get("/traffic").part("deployments")
    assert 'data-label="shop release 2"' in part
    assert 'data-label="blog release 1"' in part


def test_an_event_names_its_user_once(server: WebServer) -> None:
    """Also if the message has the name."""
    for message in ("approved by ann", "rejected by ann: too early", "scaled web"):
        server.store.events.record(Event("run.approved", message, "shop", None, {"by": "ann"}))
    rows = cells(server.browser().get("/events").part("events"))
    assert [row[5] for row in rows[:3]] == ["scaled web by ann", "rejected by ann: too early", "approved by ann"]


def test_new_entries_reach_an_open_page(server: WebServer) -> None:
    """The page follows the log while it is open."""
    browser = server.browser()
    with browser.follow(browser.live("/access-log?path=/new*")) as events:
        with log_of(server.home).open("ab") as log:
            log.write(raw(uri="/new"))
        assert "/new HTTP" in next(message for message in events if "/new HTTP" in message)


def test_events(server: WebServer) -> None:
    """Events are shown newest first, filters choose among them, and a mistake keeps the form."""
    browser = server.browser()
    rows = cells(browser.get("/events").part("events"))
    assert [(row[1], row[4]) for row in rows] == [
        ("error", "job.failed"),
        ("warning", "host.lost"),
        ("info", "run.started"),
    ]
    assert rows[0][5] == f"job.failed {HOSTILE} by {HOSTILE}"
    assert [row[4] for row in cells(browser.get("/events?kind=run,host.lost&severity=warning").part("events"))] == [
        "host.lost"
    ]
    mistake = browser.get("/events?kind=hosts")
    assert "did you mean host?" in mistake.part("events")
    assert 'value="hosts"' in mistake.part("filters")
    assert "run: choose its pipeline too" in browser.get("/events?run=3").part("events")
    assert "the daemon does not manage blog" in browser.get("/events?pipeline=blog").part("events")


def test_older_events(server: WebServer) -> None:
    """The first page links to the older events, with the filters."""
    for number in range(100):
        server.store.events.record(Event("host.lost", str(number), "shop"))
    browser = server.browser()
    first = browser.get("/events?severity=warning")
    assert [row[5] for row in cells(first.part("events"))] == [str(number) for number in range(99, -1, -1)]
    link = re.search(r'rel="next" href="([^"]*)"', first.text)
    assert link
    older = browser.get(html.unescape(link[1]))
    assert [row[4] for row in cells(older.part("events"))] == ["job.failed", "host.lost"]
    assert "Older events" not in older.part("events")


def test_now_and_the_radiator(server: WebServer) -> None:
    """Both have a sentence for each pipeline, what is being done and what waits. Only Now has buttons."""
    server.store.queue.put("shop", [RunRequest(Trigger.COMMAND, sha="b" * 40, subject=HOSTILE)])
    server.store.queue.claim("shop", "superseded")
    server.store.queue.await_approval("shop", 1)
    browser = server.browser()
    page, wall = browser.get("/"), browser.get("/radiator")
    assert "no active release" in page.part("pipelines")
    assert "run 1 waits for approval (bbbbbbb &lt;img" in page.part("questions")
    assert "run 1 waits for approval" in wall.part("wall")
    assert "<button" in page.part("questions").partition('id="pipelines"')[0]
    assert "<button" not in wall.text
    assert "<button" not in server.browser(Role.LOOK).get("/").part("questions").partition("<footer")[0]
    assert "job.failed &lt;img" in wall.part("wall")


def test_an_open_page_sees_a_question(server: WebServer) -> None:
    """What begins to wait reaches the open pages."""
    browser = server.browser()
    with browser.follow(browser.live("/")) as events:
        server.store.transitions.disable("shop", "deploy", "a <freeze>")
        message = next(message for message in events if "questions" in message)
    assert "transition into Deploy is disabled: a &lt;freeze&gt;" in message

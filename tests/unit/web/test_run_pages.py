"""The pages of runs: what they show, what they escape, and what their buttons do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.event_kinds import EventKind as K
from pipeline.events import Events
from pipeline.store.queue import RunRequest
from pipeline.store.records import RunKind, RunState, Trigger
from pipeline.store.web_sessions import Role
from tests.support.event_script import EventScript
from tests.support.web import Browser, WebServer, web_server

RUN = "/pipelines/shop/runs/1"
MARK = "<script>alert(1)</script>"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WebServer]:
    """A daemon whose pipeline has one run in Deploy."""
    with web_server(tmp_path) as found:
        request = RunRequest(
            Trigger.WEBHOOK, sha="a" * 40, ref="main", author=f"Ann {MARK}", subject=f"Carts {MARK}", by=f"anna {MARK}"
        )
        found.store.queue.put("shop", [request])
        found.store.queue.claim("shop", "queued")
        for stage in ("source", "build", "deploy"):
            found.store.queue.enter("shop", 1, stage)
        yield found


def emit(server: WebServer, kind: K, message: str = "", **fields: str | float | None) -> None:
    """Store an event of the run."""
    events = Events("shop", 1)
    events.subscribe(server.store.events.record)
    events.emit(kind, message or str(kind), **fields)


def roll(server: WebServer) -> None:
    """Store the events of a canary with an alarm."""
    fields = {"service": "web", "release": 2}
    emit(server, K.ROLLOUT_STARTED, replicas=1, floor=1, healthy=1, targets="old=1", **fields)
    for kind in (K.CONTAINER_STARTING, K.TARGET_REGISTERED, K.TARGET_HEALTHY):
        emit(server, kind, target=f"new{MARK}", healthy=1, **fields)
    emit(server, K.SHIFT_STEP, step=1, share=20.0, bake_time=60.0, **fields)
    text = f"alarm of web: INSUFFICIENT_DATA, 10 of 500 {MARK}"
    emit(server, K.ALARM_EVALUATED, text, condition=1, state="INSUFFICIENT_DATA", was=None, needed=490, **fields)
    emit(server, K.TARGET_DRAINING, target="old", service="web", release=1, healthy=2)
    emit(server, K.DEPLOYMENT_WARNING, f"a warning {MARK}")
    emit(server, K.TEST_REPORTED, tests=3, failed=2, skipped=0, names=f"a.one\nb.{MARK}")


def write_log(server: WebServer, *texts: str) -> None:
    """Append lines to the log of the run."""
    path = server.home.run_log("shop", 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        for text in texts:
            file.write(json.dumps({"at": "2026-01-01T12:00:00.000+00:00", "stage": "test", "text": text}) + "\n")


def forms(browser: Browser, path: str = RUN) -> set[str]:
    """Return what the buttons of a page do."""
    found = re.findall(r'<form [^>]*method="post"[^>]* action="([^"]*)"', browser.get(path).text)
    return {each.removeprefix("/pipelines/shop/") for each in found} - {"/theme", "/logout"}


def test_a_run_shows_its_containers_and_its_traffic(server: WebServer) -> None:
    """Each lane has its state as a word, and a picture with a text."""
    roll(server)
    page = server.browser().get(RUN)
    assert page.status == 200
    containers = page.part("containers")
    assert re.search(r'aria-label="old: healthy [0-9.]+ s, draining for [0-9.]+ s"', containers)
    assert "2 wanted" not in containers
    assert "1 wanted" in containers
    assert re.search(r"Healthy targets: 1 now, between 1 and 2; the rollout keeps at least 1\.", containers)
    assert "Share of the new release: 20 %." in containers
    assert "10 of 500" in containers
    assert ">490<" in containers
    assert "draining" in containers


def test_nothing_from_outside_is_markup(server: WebServer) -> None:
    """Commits, users, names of targets and tests, events, logs and artifacts are text."""
    roll(server)
    write_log(server, f"a line {MARK}", "\x1b[31mred\x1b[0m")
    folder = server.home.run_artifacts("shop", 1)
    folder.mkdir(parents=True)
    (folder / '<img src=x onerror="alert(1)">').touch()
    for path in (RUN, "/runs", "/pipelines/shop/runs"):
        text = server.browser().get(path).text
        assert MARK not in text, path
        assert "<img" not in text, path
        assert "\x1b" not in text, path
        assert " style=" not in text, path
        assert not re.search(r"\son\w+=", text.replace("onerror=&#34;", "")), path
    page = server.browser().get(RUN)
    for part in ("run", "containers", "moments", "tests", "log"):
        assert "&lt;script&gt;" in page.part(part), part


def test_the_failed_tests_and_the_artifacts(server: WebServer) -> None:
    """Both are left out of a run without them."""
    text = server.browser().get(RUN).text
    assert 'id="tests" hidden' in text
    assert 'id="artifacts" hidden' in text
    roll(server)
    folder = server.home.run_artifacts("shop", 1) / "out"
    folder.mkdir(parents=True)
    (folder / "junit \udcff.xml").write_bytes(b"<testsuite/>")
    browser = server.browser()
    page = browser.get(RUN)
    assert "2 failed</span> of 3" in page.part("tests")
    assert "<li>a.one</li>" in page.part("tests")
    (link,) = re.findall(r'href="([^"]+)" download>out/', page.text)
    answer = browser.get(link)
    assert (answer.status, answer.body) == (200, b"<testsuite/>")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment; ")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "path", ["/artifacts/../1.jsonl", "/artifacts/..%2f1.jsonl", "/artifacts/nothing", "/artifacts/"]
)
def test_nothing_else_is_downloaded(server: WebServer, path: str) -> None:
    """The page says that it does not exist."""
    write_log(server, "secret")
    server.home.run_artifacts("shop", 1).mkdir()
    answer = server.browser().get(f"{RUN}{path}")
    assert answer.status == 404
    assert "secret" not in answer.text


@pytest.mark.parametrize("path", ["/artifacts/x", "/log", "/log/from/0"])
def test_nothing_is_downloaded_without_a_session(server: WebServer, path: str) -> None:
    """A link is needed, as for any page. The role look is enough."""
    write_log(server, "a line")
    assert Browser(server.port).get(f"{RUN}{path}").status == 401
    assert server.browser(Role.LOOK).get(f"{RUN}{path}").status in (200, 404)


def test_the_log_shows_its_end(server: WebServer) -> None:
    """The page has the last lines, and the file all of them."""
    write_log(server, *(f"line {number}" for number in range(1000)))
    browser = server.browser()
    log = browser.get(RUN).part("log")
    assert "The last 200 lines." in log
    assert "line 999" in log
    assert "line 799" not in log
    answer = browser.get(f"{RUN}/log")
    lines = [json.loads(line)["text"] for line in answer.body.decode().splitlines()]
    assert lines == [f"line {number}" for number in range(1000)]


def test_a_line_that_is_being_written_is_left_out(server: WebServer) -> None:
    """So is one that is damaged. The others are shown."""
    write_log(server, "whole")
    with server.home.run_log("shop", 1).open("ab") as file:
        file.write(b'\xff\xfe\n[1]\n{"at": 1}\n{"at": "2026-01-01T12:00:00", "stage": "te')
    log = server.browser().get(RUN).part("log")
    assert "whole" in log
    assert "All lines." in log


def test_only_new_lines_travel(server: WebServer) -> None:
    """An open page gets the lines that were added, once, and can ask for others by their offset."""
    write_log(server, "before")
    browser = server.browser()
    page = browser.get(RUN)
    following = re.search(r'data-next="(\d+)" data-more="([^"]+)"', page.text)
    assert following
    with browser.follow(browser.live(RUN)) as events:
        write_log(server, "\x1b[31mred\x1b[0m & <b>")
        event = next(each for each in events if 'id="log-news"' in each)
    assert 'id="log"' not in event
    assert "before" not in event
    found = re.search(r'<div id="log-news" hidden>(.*?)</div>', event)
    assert found
    news = json.loads(found[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))
    assert [(line["at"], line["stage"], line["text"]) for line in news["lines"]] == [("12:00:00", "test", "red & <b>")]
    assert str(news["start"]) == following[1]
    answer = server.browser(Role.LOOK).get(f"{following[2]}{following[1]}")
    assert (answer.headers["content-type"], json.loads(answer.body)) == ("application/json", news)


@pytest.mark.parametrize("offset", ["x", "-1", "1e3"])
def test_a_log_from_a_wrong_offset(server: WebServer, offset: str) -> None:
    """There is no such page."""
    assert server.browser().get(f"{RUN}/log/from/{offset}").status == 404


def test_the_answers_of_a_run_that_waits_for_approval(server: WebServer) -> None:
    """A user approves it, and everybody sees who."""
    server.store.queue.await_approval("shop", 1)
    for path, part in ((RUN, "run"), ("/pipelines/shop/runs", "runs")):
        assert "waits for approval</span>" in server.browser().get(path).part(part), path
    assert forms(server.browser()) == {"runs/1/approve", "runs/1/reject", "runs/1/cancel"}
    assert forms(server.browser(Role.LOOK)) == set()
    server.browser(name="bob").post(f"{RUN}/approve")
    head = server.browser(Role.LOOK, name="eve").get(RUN).part("run")
    assert "Approved</dt><dd>by bob," in head


def test_the_answers_of_a_deployment(server: WebServer) -> None:
    """It says what an abort does before it is pressed."""
    row = server.store.deployments.begin("shop", 1, 4, 5, "canary")
    server.store.deployment_answers.begin(row.id, "web", "AfterInstall[0]", "the pause", server.reports.clock.now())
    emit(server, K.DEPLOYMENT_WAITING, "web waits for `pipeline promote`", service="web", hook="AfterInstall")
    browser = server.browser(name="bob")
    assert forms(browser) == {"deployment/promote", "deployment/abort", "runs/1/cancel"}
    answers = browser.get(RUN).part("answers")
    assert "Release 5 is rolled back to release 4" in answers
    assert "web waits for" in answers
    browser.post("/pipelines/shop/deployment/abort", {"comment": "slow"})
    abort = server.store.deployment_answers.aborted(row.id)
    assert abort is not None
    assert (abort.by, abort.comment) == ("bob", "slow")


def test_only_a_wait_is_promoted(server: WebServer) -> None:
    """A rollout without a bake time has nothing to promote."""
    row = server.store.deployments.begin("shop", 1, 4, 5, "rolling")
    assert forms(server.browser()) == {"deployment/abort", "runs/1/cancel"}
    server.store.deployment_answers.begin(row.id, "web", "step[0]", "the bake time", server.reports.clock.now())
    page = server.browser().get(RUN).part("answers")
    assert "Promote: end the bake time" in page
    assert forms(server.browser()) == {"deployment/promote", "deployment/abort", "runs/1/cancel"}


def test_a_run_that_failed_is_retried(server: WebServer) -> None:
    """One that succeeded has no button."""
    server.store.runs.finish("shop", 1, RunState.FAILED, f"the tests failed {MARK}")
    browser = server.browser(name="bob")
    assert forms(browser) == {"runs/1/retry"}
    browser.post(f"{RUN}/retry")
    retried = server.store.runs.get("shop", 2)
    assert retried is not None
    assert (retried.by, retried.retry_of) == ("bob", 1)
    server.store.queue.claim("shop", "queued")
    server.store.runs.finish("shop", 2, RunState.SUCCEEDED)
    assert forms(browser, "/pipelines/shop/runs/2") == set()


@pytest.mark.parametrize(
    "path",
    [
        "/pipelines/shop/runs/7",
        "/pipelines/shop/runs/x",
        "/pipelines/nothing/runs/1",
        "/pipelines/nothing/runs",
        f"/pipelines/shop/runs/{10**30}",
    ],
)
def test_what_does_not_exist(server: WebServer, path: str) -> None:
    """The page says so, and the daemon goes on."""
    assert server.browser().get(path).status == 404


def test_a_run_is_started(server: WebServer) -> None:
    """In the name of the user. The browser goes to its page."""
    browser = server.browser(name="bob")
    fields = {"commit": "v1.2", "force": "1"}
    answer = browser.post("/pipelines/shop/runs/start", fields)
    assert (answer.status, answer.headers["location"].partition("?")[0]) == (303, "/pipelines/shop/runs/2")
    run = server.store.runs.get("shop", 2)
    assert run is not None
    assert (run.by, run.requested, run.options.force, run.options.no_cache) == ("bob", "v1.2", True, False)
    refused = browser.post("/pipelines/shop/runs/start", {"commit": "a\x1bb"}, HX_Request="true")
    assert "must not contain control characters" in refused.text
    assert server.store.runs.get("shop", 3) is None


def numbers(browser: Browser, query: str = "") -> list[int]:
    """Return the runs that the page of runs shows."""
    found = re.findall(r'href="/pipelines/shop/runs/(\d+)"', browser.get(f"/pipelines/shop/runs{query}").part("runs"))
    return [int(each) for each in found]


def test_the_filters_of_the_history(server: WebServer) -> None:
    """Each narrows the list, and a value that is none finds nothing."""
    for kind, by in ((RunKind.RUN, "bob"), (RunKind.ROLLBACK, "bob"), (RunKind.RUN, "eve")):
        server.store.queue.put("shop", [RunRequest(Trigger.COMMAND, kind=kind, by=by)], mode="queued")
    server.store.queue.cancel("shop", 4, by="anna")
    browser = server.browser(Role.LOOK)
    assert numbers(browser) == [4, 3, 2, 1]
    assert numbers(browser, "?by=bob") == [3, 2]
    assert numbers(browser, "?state=cancelled") == [4]
    assert numbers(browser, "?kind=rollback&by=bob") == [3]
    assert numbers(browser, "?trigger=webhook") == [1]
    assert numbers(browser, "?before=3") == [2, 1]
    assert numbers(browser, f"?before={10**30}") == [4, 3, 2, 1]
    assert numbers(browser, "?state=%3Cb%3E") == []


def test_older_runs_are_on_the_next_page(server: WebServer) -> None:
    """The link keeps the filters."""
    requests = [RunRequest(Trigger.COMMAND, by="a&b") for _ in range(60)]
    server.store.queue.put("shop", requests, mode="queued")
    browser = server.browser(Role.LOOK)
    page = browser.get("/pipelines/shop/runs?by=a%26b")
    (link,) = re.findall(r'href="([^"]+)">Older runs', page.text)
    assert link == "/pipelines/shop/runs?by=a%26b&amp;before=12"
    assert numbers(browser, f"?{link.partition('?')[2].replace('&amp;', '&')}") == list(range(11, 1, -1))


def test_a_run_of_very_many_containers(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page says how many it leaves out, and what has them."""
    monkeypatch.setattr("pipeline.web.timeline_chart.MAX_LANES", 2)
    script = EventScript()
    for number in range(5):
        script.target(number, K.CONTAINER_STARTING, f"shop.web.r2.{number:06x}", 2)
    for event in script.events:
        server.store.events.record(event)
    part = server.browser().get(RUN).part("containers")
    assert "3 earlier containers are left out: <code>pipeline timeline 1</code> has them" in part
    assert part.count("<svg") >= 2
    assert "shop.web.r2.000002" not in part
    assert part.count("<td>shop.web.r2.000004</td>") == 1


def test_the_pages_are_small(server: WebServer) -> None:
    """A run of twenty containers is a few kilobytes."""
    script = EventScript()
    targets = " ".join(f"shop.web.r1.{number:06x}=1" for number in range(20))
    script.add(0, K.ROLLOUT_STARTED, service="web", release=2, replicas=20, floor=18, healthy=20, targets=targets)
    for number in range(20):
        for moment, kind in enumerate((K.CONTAINER_STARTING, K.TARGET_REGISTERED, K.TARGET_HEALTHY)):
            script.target(number + moment, kind, f"shop.web.r2.{number:06x}", 2)
        for moment, kind in enumerate((K.TARGET_DRAINING, K.CONTAINER_STOPPING, K.CONTAINER_STOPPED)):
            script.target(number + 4 + moment, kind, f"shop.web.r1.{number:06x}", 1)
    for event in script.events:
        server.store.events.record(event)
    answer = server.browser().get(RUN, Accept_Encoding="gzip")
    assert answer.status == 200
    assert len(answer.body) < 20_000
    assert answer.text.count("<polygon") >= 20 * 3 + 20 * 4


def test_a_log_of_long_lines_does_not_make_a_large_page(server: WebServer) -> None:
    """The page has as many of the last lines as fit."""
    write_log(server, *(f"line {number} {'x' * 10_000}" for number in range(300)))
    log = server.browser().get(RUN).part("log")
    assert "line 299" in log
    assert len(log) < 150_000


def test_a_line_that_is_longer_than_the_end_of_the_log(server: WebServer) -> None:
    """It is shown all the same."""
    write_log(server, "first", "\u4e00" * 16_000)
    log = server.browser().get(RUN).part("log")
    assert "The last 1 lines." in log or "All lines." in log
    assert "\u4e00" * 16_000 in log


def test_a_run_that_ended_well_was_cancelled_by_nobody(server: WebServer) -> None:
    """An order that came too late for it is not shown."""
    server.store.queue.cancel("shop", 1, by="bob")
    assert "<dt>Cancelled</dt><dd>by bob" in server.browser().get(RUN).part("run")
    server.store.runs.finish("shop", 1, RunState.SUCCEEDED, "")
    assert "<dt>Cancelled</dt>" not in server.browser().get(RUN).part("run")

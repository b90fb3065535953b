"""Texts that a commit, a log line, a header, a webhook or a user can fill are text on every page that is linked."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest

from pipeline.base.home import Home
from pipeline.config.load import load
from pipeline.config.release import ReleaseSpec
from pipeline.event_kinds import EventKind
from pipeline.events import Event
from pipeline.store.queue import RunRequest
from pipeline.store.records import ApprovalDecision, StageState, Trigger
from pipeline.store.run_log import RunLogFile
from pipeline.store.store import Store
from pipeline.web.catalogue import Catalogue
from tests.support.access_log import raw
from tests.support.shop_pipeline import PIPELINE
from tests.support.web import Browser, WebServer, web_server
from tests.unit.web.page_check import Elements, check_page

# Each closes another place in which a text may stand: an element, an attribute, a comment, a text area, a title.
BREAKOUT = "--></title></textarea></style>'\"><script>mark()</script><img src=x onerror=mark()>"
SHA = "a" * 40
PART = re.compile(r'^<hx-partial hx-target="#([^"]+)"[^>]*>(.*?)</hx-partial>$', re.MULTILINE | re.DOTALL)
# Fields of events that only Penstock fills.
TIMES = {"expires", "retry_at", "scheduled_for", "since", "until"}
NUMBERS = {
    *("attempt", "bake_time", "before", "code", "connections", "count", "cpu", "exit_code", "floor", "healthy"),
    *("job_run", "max", "min", "needed", "release", "replicas", "requests", "response_time", "seconds", "sent"),
    *("failed", "serving", "share", "size", "skipped", "starting", "step", "tests"),
}
_MAX_PAGES = 150
# The texts that a page must show, so that this test cannot pass by showing nothing.
SHOWN = {
    "now": {"transition"},
    "run": {"subject", "author", "approver", "comment", "stage", "log"},
    "runs": {"subject"},
    "releases": {"release"},
    "events": {"event"},
    "access_log": {"path", "agent"},
}


def hostile(field: str) -> str:
    return f"{field}-text{BREAKOUT}"


def fill(home: Home, store: Store) -> None:
    """Store a run with its log, its release, its events and a request, all with hostile texts."""
    asked = RunRequest(Trigger.WEBHOOK, hostile("requested"), author=hostile("author"), subject=hostile("subject"))
    (run, _) = store.queue.put("shop", [asked, asked], mode="queued")
    store.queue.claim("shop", "queued")
    store.queue.set_commit(
        "shop",
        run.number,
        sha=SHA,
        ref=hostile("ref"),
        author=asked.author or "",
        subject=asked.subject or "",
        mode="queued",
    )
    store.queue.enter("shop", run.number, "source")
    store.runs.finish_stage("shop", run.number, "source", StageState.FAILED, hostile("stage"))
    decision = ApprovalDecision(False, hostile("approver"), hostile("comment"), datetime(2026, 1, 2, tzinfo=UTC))
    store.queue.record_decision("shop", run.number, decision)
    with RunLogFile(home.run_log("shop", run.number), lambda text: text) as log:
        log.line("source", hostile("log"))
    text = hostile("event")
    for kind in EventKind:
        store.events.record(Event(kind, text, "shop", run.number, {name: _value(name) for name in kind.fields}))
    store.events.record(Event("kind<b>", text, "shop", None, {}))
    _add_release(home, store, run.number)
    store.transitions.disable("shop", "deploy", hostile("transition"))
    request = {"uri": f"/{hostile('path')}".replace(" ", "%20"), "user_agent": hostile("agent")}
    home.balancer.joinpath("access.log").write_bytes(raw(request))


def _value(field: str) -> str | int:
    return "2026-01-02T03:04:05+00:00" if field in TIMES else 1 if field in NUMBERS else hostile(field)


def _add_release(home: Home, store: Store, run: int) -> None:
    file = home.root / "pipeline.yaml"
    file.write_text(PIPELINE)
    subject = hostile("release")
    spec = ReleaseSpec.of(load(file), image_id="sha256:1", image_tag="shop:1", sha=SHA, subject=subject)
    text = spec.model_dump_json()
    store.releases.create("shop", run, sha=SHA, subject=subject, image_id="sha256:1", image_tag="shop:1", spec=text)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    with web_server(tmp_path_factory.mktemp("shop"), prepare=fill) as found:
        yield found


def linked_pages(browser: Browser) -> Iterator[tuple[str, str]]:
    """Yield the path and the HTML of every page that is reached by links from the first one."""
    left, seen = ["/"], {"/"}
    while left and len(seen) < _MAX_PAGES:
        path = left.pop(0)
        page = browser.get(path)
        assert page.status == 200, f"{path}: {page.status}"
        if not page.headers.get("content-type", "").startswith("text/html"):
            continue
        yield path, page.text
        for tag, attributes in Elements(page.text).found:
            link = attributes.get("href", "") if tag == "a" else ""
            if link.startswith("/") and link not in seen:
                seen.add(link)
                left.append(link)


def test_hostile_texts_are_text_on_every_page(server: WebServer) -> None:
    """No linked page has an element that a text has made, and the pages do show the texts."""
    browser, texts = server.browser(), dict[str, str]()
    for path, text in linked_pages(browser):
        check_page(text)
        texts[path] = html.unescape(text)
    names = {page.name for page in Catalogue.load().pages}
    everything = "".join(texts.values())
    for page, fields in SHOWN.items():
        if page in names:
            assert {field for field in fields if f"{field}-text" not in everything} == set(), page


def test_every_stream_has_the_parts_of_its_page(server: WebServer) -> None:
    """The first event of a live page is escaped, too. Each part is an element with an id that the page has."""
    browser, followed = server.browser(), 0
    for path, text in linked_pages(browser):
        found = Elements(text).found
        ids = [attributes["id"] for _, attributes in found if "id" in attributes]
        assert len(ids) == len(set(ids)), path
        for stream in [attributes["hx-sse:connect"] for _, attributes in found if "hx-sse:connect" in attributes]:
            url, followed = urlsplit(stream), followed + 1
            query = "&".join(part for part in url.query.split("&") if not part.startswith("digest="))
            with browser.follow(f"{url.path}?{query}") as events:
                parts = PART.findall(next(events))
            check_page("".join(content for _, content in parts))
            for name, content in parts:
                assert Elements(content).found[0][1].get("id") == name, f"{path}: {name}"
                assert name in ids, f"{path}: {name}"
    assert followed

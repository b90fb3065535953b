"""Badges and the CCTray feed over real HTTP, beside the webhooks."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPMessage
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pytest

from pipeline.http.public import public_config
from pipeline.http.serving import http_server
from pipeline.store.records import RunKind, RunState
from pipeline.store.store import Store
from tests.support.started_runs import begin_run
from tests.support.waiting import DEADLINE
from tests.system.inbox import RecordingInbox


class Answer(NamedTuple):
    """The response of the server."""

    status: int
    headers: HTTPMessage
    body: str


Ask = Callable[..., Answer]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "penstock.db") as store:
        yield store


@pytest.fixture
def ask(store: Store) -> Iterator[Ask]:
    """Request a public path of a server with the pipelines shop and blog."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def ask(path: str, method: str = "GET", **headers: str) -> Answer:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)) as connection:
            connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read().decode())

    with http_server(lambda: public_config(RecordingInbox(), store, ["shop", "blog"]), listener):
        yield ask


def ended(store: Store, *states: RunState, kind: RunKind = RunKind.RUN) -> None:
    """Runs of shop that stand so, oldest first."""
    for state in states:
        run = begin_run(store, "shop", kind)
        if state is not RunState.RUNNING:
            store.runs.finish("shop", run.number, state)


@pytest.mark.parametrize(
    ("states", "told"),
    [
        ([], "unknown"),
        ([RunState.SUCCEEDED], "succeeded"),
        ([RunState.SUCCEEDED, RunState.FAILED], "failed"),
        ([RunState.FAILED, RunState.RUNNING], "running"),
        ([RunState.FAILED, RunState.SUPERSEDED, RunState.SKIPPED, RunState.CANCELLED], "failed"),
    ],
)
def test_a_badge_tells_of_the_latest_run_that_says_something(
    states: list[RunState], told: str, store: Store, ask: Ask
) -> None:
    """A badge skips runs that were cancelled or had nothing to do."""
    ended(store, *states)
    answer = ask("/badge/shop.svg")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/svg+xml")
    assert ElementTree.fromstring(answer.body).get("aria-label") == f"shop: {told}"


def test_a_rollback_is_not_on_the_badge(store: Store, ask: Ask) -> None:
    """A rollback does not change the badge."""
    ended(store, RunState.FAILED)
    ended(store, RunState.SUCCEEDED, kind=RunKind.ROLLBACK)
    assert "shop: failed" in ask("/badge/shop.svg").body


def test_the_feed_names_every_pipeline(store: Store, ask: Ask) -> None:
    """The feed has every pipeline, with links to the requested host."""
    ended(store, RunState.SUCCEEDED)
    answer = ask("/cc.xml", Host="ci.example.com")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/xml")
    blog, shop = ElementTree.fromstring(answer.body)
    assert (blog.get("name"), blog.get("lastBuildStatus")) == ("blog", "Unknown")
    assert (shop.get("name"), shop.get("lastBuildStatus"), shop.get("lastBuildLabel")) == ("shop", "Success", "1")
    assert shop.get("webUrl") == "http://ci.example.com/badge/shop.svg"
    for odd in ('"><script>', "[::1", "a b&c", "x" * 5000):
        assert ElementTree.fromstring(ask("/cc.xml", Host=odd).body).tag == "Projects"


@pytest.mark.parametrize("path", ["/badge/shop.svg", "/cc.xml"])
def test_nobody_shows_an_old_answer(path: str, store: Store, ask: Ask) -> None:
    """A cached response is revalidated, which costs nothing while it is unchanged."""
    ended(store, RunState.SUCCEEDED)
    first = ask(path)
    tag = first.headers["ETag"]
    assert first.headers["Cache-Control"] == "no-cache"
    for known in (tag, f'"other", W/{tag}', "*"):
        same = ask(path, If_None_Match=known)
        assert (same.status, same.body, same.headers["ETag"]) == (304, "", tag)
    ended(store, RunState.FAILED)
    changed = ask(path, If_None_Match=tag)
    assert (changed.status, changed.headers["ETag"] != tag) == (200, True)


def test_only_looking_is_allowed(ask: Ask) -> None:
    """HEAD has the headers of GET, and other methods are refused with the allowed ones."""
    for path in ("/badge/shop.svg", "/cc.xml"):
        head, got = ask(path, "HEAD"), ask(path)
        assert (head.status, head.body, head.headers["Content-Length"]) == (200, "", str(len(got.body.encode())))
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            refused = ask(path, method)
            assert (refused.status, set(refused.headers["Allow"].split(", "))) == (405, {"GET", "HEAD"})


def test_there_is_nothing_else(ask: Ask) -> None:
    """Unknown names and the control API are not public."""
    badges = ("nobody.svg", "shop", "shop.png", "shop.svg/", ".svg", "../cc.xml", "..%2Fshop.svg", "shop%00.svg")
    paths = [f"/badge/{name}" for name in (*badges, "x" * 5000 + ".svg")] + ["/cc.xml/", "/", "/v1", "/openapi.json"]
    assert {path: ask(path).status for path in paths} == dict.fromkeys(paths, 404)


def test_webhooks_are_taken_beside_them(ask: Ask) -> None:
    """A signed POST of a webhook is accepted on the same server."""
    assert ask("/webhooks/shop/github", "POST").status in (401, 411, 415)
    refused = ask("/webhooks/shop/github")
    assert (refused.status, refused.headers["Allow"]) == (405, "POST")

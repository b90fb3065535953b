"""The feed: each view is rendered once for all watchers, when something has changed, and at a limited cost."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import ChoiceLoader, DictLoader, PackageLoader
from markupsafe import Markup
from starlette.types import Message

from pipeline.base.clock import SYSTEM
from pipeline.base.signal import Signal
from pipeline.store.web_sessions import WebSession
from pipeline.testing.fakes.clock import FakeClock
from pipeline.web.budget import CpuBudget
from pipeline.web.catalogue import Catalogue
from pipeline.web.feed import Feed, ViewKey
from pipeline.web.page import Page, Parts, ViewContext
from pipeline.web.slots import fill_slots, slot
from pipeline.web.stream import ViewStream
from pipeline.web.watched_view import WatchedView, parts_digest
from tests.support.waiting import DEADLINE, SOON, until
from tests.support.web import web_server
from tests.unit.web.sample import Effects

# Nothing renders it but a change.
PAGE = Page("/", "page", "", "", lambda _: {}, interval=3600.0)


@dataclass(eq=False)
class Watcher:
    """A page that has received `events`."""

    seen: int = 0
    is_idle: bool = True
    events: list[str] = field(default_factory=list)

    def send(self, event: bytes) -> None:
        self.events.append(event.decode())


@dataclass
class Views:
    """Renders one part, with `text`, and counts how often."""

    text: str = "a"
    rendered: int = 0

    def render(self, key: ViewKey) -> dict[str, Markup]:
        self.rendered += 1
        return {"part": Markup('<p id="part">{}{}</p>').format(self.text, "!" if key.can_operate else "")}


async def soon(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition, in an event loop."""

    async def wait() -> None:
        while not condition():
            await asyncio.sleep(0.005)

    try:
        await asyncio.wait_for(wait(), DEADLINE)
    except TimeoutError:
        raise AssertionError(what) from None


def play(scene: Callable[[], Awaitable[None]]) -> None:
    """Run a test in an event loop."""

    async def run() -> None:
        await scene()

    asyncio.run(run())


def key(*, can_operate: bool = False, **arguments: str) -> ViewKey:
    return ViewKey.of(PAGE, arguments, can_operate=can_operate)


def test_all_watchers_share_a_rendering() -> None:
    """A hundred pages with the same arguments cost one rendering, and get the same change."""

    async def scene() -> None:
        views, changed = Views(), Signal()
        feed = Feed(views.render, [changed.subscribe], SYSTEM)
        watchers = [Watcher() for _ in range(100)]
        with ExitStack() as stack:
            for watcher in watchers:
                stack.enter_context(feed.watch(key(), watcher, ""))
            await soon(lambda: all(watcher.events for watcher in watchers), "the first parts")
            assert views.rendered == 1
            views.text = "b"
            changed.send()
            await soon(lambda: all(len(watcher.events) == 2 for watcher in watchers), "the change")
            assert views.rendered == 2
            assert {watcher.events[1] for watcher in watchers} == {watchers[0].events[1]}

    play(scene)


def test_roles_and_arguments_have_views_of_their_own() -> None:
    """A part for the role operate never reaches the role look."""

    async def scene() -> None:
        views = Views()
        feed = Feed(views.render, [], SYSTEM)
        look, operate, other = Watcher(), Watcher(), Watcher()
        with (
            feed.watch(key(), look, ""),
            feed.watch(key(can_operate=True), operate, ""),
            feed.watch(key(word="x"), other, ""),
        ):
            await soon(lambda: look.events and operate.events and other.events, "the parts")
        assert views.rendered == 3
        assert "a!" in operate.events[0]
        assert "a!" not in look.events[0] + other.events[0]

    play(scene)


def test_nothing_is_rendered_while_nobody_watches() -> None:
    """After the last page is closed, changes are not even listened to."""

    async def scene() -> None:
        views, listening = Views(), 0

        @contextmanager
        def source(_: Callable[[], None]) -> Iterator[None]:
            nonlocal listening
            listening += 1
            yield
            listening -= 1

        feed = Feed(views.render, [source], SYSTEM)
        with feed.watch(key(), Watcher(), ""), feed.watch(key(), Watcher(), ""):
            assert listening == 1
        assert listening == 0
        with feed.watch(key(), watcher := Watcher(), ""):
            await soon(lambda: watcher.events, "the parts of a page that is opened again")
            assert listening == 1

    play(scene)


def test_a_change_during_a_rendering_is_not_missed() -> None:
    """What changes while a view is rendered leads to another rendering."""

    async def scene() -> None:
        views, changed, entered, leave = Views(), Signal(), threading.Event(), threading.Event()

        def render(asked: ViewKey) -> dict[str, Markup]:
            found = views.render(asked)
            entered.set()
            leave.wait(DEADLINE)
            return found

        feed, watcher = Feed(render, [changed.subscribe], SYSTEM), Watcher()
        with feed.watch(key(), watcher, ""):
            await soon(entered.is_set, "the first rendering")
            views.text = "b"
            changed.send()
            leave.set()
            await soon(lambda: watcher.events and ">b<" in watcher.events[-1], "the change")

    play(scene)


def test_a_fault_of_a_view_ends_no_page() -> None:
    """A view that raises is rendered again at the next change."""

    async def scene() -> None:
        views, changed, fails = Views(), Signal(), True

        def render(asked: ViewKey) -> dict[str, Markup]:
            found = views.render(asked)
            if fails:
                raise RuntimeError("a fault")
            return found

        feed, watcher = Feed(render, [changed.subscribe], SYSTEM), Watcher()
        with feed.watch(key(), watcher, ""):
            await soon(lambda: views.rendered, "the first rendering")
            fails = False
            changed.send()
            await soon(lambda: watcher.events, "the parts")

    play(scene)


def parts(**texts: str) -> dict[str, Markup]:
    return {name: Markup(text) for name, text in texts.items()}


def test_only_changed_parts_are_sent() -> None:
    """A part with the same text is not sent again."""
    view, watcher = WatchedView(), Watcher()
    view.update(parts(a="1", b="1"))
    view.add(watcher, "")
    view.update(parts(a="1", b="2"))
    view.update(parts(a="1", b="2"))
    assert [("#a" in event, "#b" in event) for event in watcher.events] == [(True, True), (False, True)]


def test_a_page_that_shows_the_parts_gets_none() -> None:
    """The digest of the first HTML, or of the last event, says what a page shows."""
    view, fresh, old = WatchedView(), Watcher(), Watcher()
    now = parts(a="1", b="1")
    view.update(now)
    view.add(fresh, parts_digest(now))
    view.add(old, parts_digest(parts(a="0", b="1")))
    assert (len(fresh.events), len(old.events)) == (0, 1)
    assert old.events[0].startswith(f"id: {parts_digest(now)}\ndata: ")
    view.update(parts(a="2", b="1"))
    assert (len(fresh.events), len(old.events)) == (1, 2)


def test_a_page_that_reads_slowly_gets_the_last_state_at_once() -> None:
    """Nothing is kept for it. When it has read everything, one event has all that has changed."""
    view, slow = WatchedView(), Watcher()
    view.update(parts(a="1", b="1", c="1"))
    view.add(slow, "")
    slow.is_idle = False
    view.update(parts(a="2", b="1", c="1"))
    view.update(parts(a="3", b="2", c="1"))
    assert len(slow.events) == 1
    slow.is_idle = True
    view.update(parts(a="3", b="2", c="1"))
    assert len(slow.events) == 2
    assert ('#a" hx-swap="outerMorph">3' in slow.events[1], "#b" in slow.events[1], "#c" in slow.events[1]) == (
        True,
        True,
        False,
    )


def test_a_part_inside_another_one_is_sent_alone() -> None:
    """If only it has changed. If the outer one has changed too, that has it."""
    view, watcher = WatchedView(), Watcher()

    def update(outer: str, inner: str) -> None:
        view.update({"a": Markup(f"{outer}{slot('b')}"), "b": Markup(inner)})

    update("1", "2")
    view.add(watcher, "")
    update("1", "3")
    update("4", "5")
    assert ["#a" in event for event in watcher.events] == [True, False, True]
    assert ["#b" in event for event in watcher.events] == [False, True, False]
    assert [text in event for text, event in zip(("12", ">3<", "45"), watcher.events, strict=True)] == [True] * 3


OUTER, INNER = ("a", "c"), {"a": "b", "c": "d"}


def two_parts(texts: tuple[str, str, str, str]) -> dict[str, Markup]:
    """Return two parts with a part in each."""
    found = dict[str, Markup]()
    for name, text, inner in zip(OUTER, texts, texts[2:], strict=False):
        found[name] = Markup(f'<section id="{name}">{text}{slot(INNER[name])}</section>')
        found[INNER[name]] = Markup(f'<div id="{INNER[name]}">{inner}</div>')
    return found


def page_of(found: dict[str, Markup]) -> str:
    return "".join(fill_slots(found[name], found) for name in OUTER)


def swapped(page: str, event: str) -> str:
    """Return a page after the browser has replaced the elements of an event."""
    for name, html in re.findall(r'hx-target="#(\w)" hx-swap="outerMorph">(.*?)</hx-partial>', event):
        tag = "section" if name in OUTER else "div"
        page, count = re.subn(rf'<{tag} id="{name}">.*?</{tag}>', html, page)
        assert count == 1
    return page


TEXTS = st.tuples(*[st.sampled_from("xyz")] * 4)


@given(TEXTS, st.lists(st.tuples(TEXTS, st.booleans()), max_size=8))
def test_the_changes_make_the_page_that_a_load_gives(
    first: tuple[str, str, str, str], later: list[tuple[tuple[str, str, str, str], bool]]
) -> None:
    """Whatever changes, and whenever the page has read what was sent."""
    view, watcher = WatchedView(), Watcher()
    view.update(two_parts(first))
    page = page_of(two_parts(first))
    view.add(watcher, parts_digest(two_parts(first)))
    last = first
    for last, is_idle in later:
        watcher.is_idle = is_idle
        view.update(two_parts(last))
    watcher.is_idle = True
    view.update(two_parts(last))
    for event in watcher.events:
        page = swapped(page, event)
    assert page == page_of(two_parts(last))


def test_lines_of_a_part_stay_in_its_event() -> None:
    """Each kind of line end is one line of `data`, so no text can begin an event."""
    view, watcher = WatchedView(), Watcher()
    view.update(parts(a="1\r\n2\r3\n\nevent: x\u2028\x0b4"))
    view.add(watcher, "")
    (event,) = watcher.events
    assert event.endswith("\n\n")
    assert all(line.startswith(("id: ", "data: ")) for line in event.rstrip("\n").split("\n"))
    assert "\r" not in event


def test_the_budget_earns_and_waits() -> None:
    """What is spent beyond the burst must be earned, and what is not spent is kept up to the burst."""
    clock = FakeClock()
    budget = CpuBudget(clock, share=0.02, burst=0.1)
    budget.spend(0.1)
    assert budget.delay() == 0
    budget.spend(0.04)
    assert round(budget.delay(), 6) == 2
    clock.advance(timedelta(seconds=1.5))
    assert round(budget.delay(), 6) == 0.5
    assert round(budget.delay(reserve=0.02), 6) == 1.5
    clock.advance(timedelta(hours=1))
    budget.spend(0.1)
    assert budget.delay() == 0
    budget.spend(0.001)
    assert budget.delay() > 0


def test_reports_are_shared_until_something_changes(tmp_path: Path) -> None:
    """Views that watch the same pipeline share its report, only while changes are reported."""
    clock = FakeClock()
    with web_server(tmp_path, clock=clock, catalogue=Effects().catalogue()) as server:
        made = list[int]()

        def make() -> int:
            made.append(len(made))
            return len(made)

        reports = server.reports
        assert [reports.shared("x", make) for _ in range(2)] == [1, 2]
        with reports.sharing(lambda: None):
            assert [reports.shared("x", make) for _ in range(3)] == [3, 3, 3]
            assert reports.shared("y", make) == 4
            reports.forget_shared()
            assert reports.shared("x", make) == 5
            clock.advance(timedelta(seconds=0.5))
            assert reports.shared("x", make) == 6
        assert reports.shared("x", make) == 7


def test_a_stream_comes_back_with_what_has_changed(tmp_path: Path) -> None:
    """A page that was disconnected names its last event, and gets all that has changed since, or nothing."""
    effects = Effects(text="one")
    with web_server(tmp_path, catalogue=effects.catalogue()) as server:
        browser = server.browser()
        live = browser.live("/samples/a")
        effects.text = "two"
        with browser.follow(live) as events:
            assert "two" in next(events)
        effects.text = "three"
        with browser.follow(live) as events:
            assert "three" in next(events)


def test_a_page_of_another_version_loads_itself_again(tmp_path: Path) -> None:
    """The scripts of a page that was open during an upgrade are those of the old version."""
    with web_server(tmp_path, catalogue=Effects().catalogue()) as server:
        browser = server.browser()
        live = browser.live("/samples/a")
        answer = browser.get(live.replace("assets=", "assets=x"))
        assert answer.text == "event: reload\ndata: \n\n"


def test_closed_pages_are_forgotten(tmp_path: Path) -> None:
    """A view is not rendered any more after its last page was closed."""
    effects = Effects()
    with web_server(tmp_path, catalogue=effects.catalogue()) as server:
        browser = server.browser()
        with browser.follow(browser.live("/samples/a")) as events:
            effects.text = "again"
            server.changed.send()
            next(events)

        def is_quiet() -> bool:
            before = effects.viewed
            server.changed.send()
            # A page load is answered after the change has reached the event loop.
            browser.get("/")
            return effects.viewed == before

        until(is_quiet, "the end of the view")


def test_an_old_proxy_gets_the_stream(tmp_path: Path) -> None:
    """A stream of HTTP/1.0, as some proxies request it, has no chunks."""
    effects = Effects()
    with web_server(tmp_path, catalogue=effects.catalogue()) as server:
        browser = server.browser()
        live = browser.live("/samples/a")
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        effects.text = "again"
        with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE) as client:
            client.sendall(f"GET {live} HTTP/1.0\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n".encode())
            stream = client.makefile("rb")
            head = iter(stream.readline, b"\r\n")
            assert not [line for line in head if line.lower().startswith(b"transfer-encoding")]
            lines = [stream.readline() for _ in range(3)]
    assert lines[:2] == [b": open\n", b"\n"]
    assert lines[2].startswith(b"id: ")


def test_a_head_of_a_stream_has_no_body(tmp_path: Path) -> None:
    """A proxy would take it for the next response of its connection."""
    with web_server(tmp_path) as server:
        browser = server.browser()
        live = browser.live("/")
        cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        rest = f"HTTP/1.1\r\nHost: localhost\r\nCookie: {cookies}\r\n"
        with socket.create_connection(("127.0.0.1", server.port), timeout=SOON) as connection:
            connection.sendall(f"HEAD {live} {rest}\r\nGET /login {rest}Connection: close\r\n\r\n".encode())
            received = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, second = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert second.startswith(b"HTTP/1.1 200 ")


class Unread:
    """A connection whose client reads nothing."""

    is_idle = False
    is_aborted = False

    def write_body(self, _: bytes, *, chunked: bool) -> None:
        """Take what is never read."""

    def abort(self) -> None:
        """Note the end."""
        self.is_aborted = True


def test_a_page_that_never_reads_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its view is not rendered any more."""
    monkeypatch.setattr("pipeline.web.stream.HEARTBEAT", 0.01)
    connection, sent = Unread(), list[Message]()

    async def receive() -> Message:
        await asyncio.Event().wait()
        return {}

    async def send(message: Message) -> None:
        sent.append(message)

    async def allowed() -> bool:
        return True

    async def run() -> None:
        feed = Feed(lambda _: {}, [], FakeClock())
        scope = {"method": "GET", "http_version": "1.1", "state": {"connection": connection}}
        stream = ViewStream(feed, key(), "", allowed)
        await asyncio.wait_for(stream(scope, receive, send), DEADLINE)

    asyncio.run(run())
    assert connection.is_aborted


def test_a_page_that_waits_for_an_engine_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor a login, however often it is loaded meanwhile."""
    released, arrived = threading.Event(), list[str]()

    def wait(_: ViewContext) -> Parts:
        assert released.wait(DEADLINE)
        return {}

    pages = (
        Page("/", "list", "List", "list.html", lambda _: {}),
        Page("/slow/{number}", "slow", "Slow", "list.html", wait),
    )
    loader = ChoiceLoader([DictLoader({"list.html": '{% extends "base.html" %}'}), PackageLoader("pipeline.web")])
    with web_server(tmp_path, catalogue=Catalogue(pages, (), loader=loader)) as server, ThreadPoolExecutor(60) as pool:
        browser, get = server.browser(), server.store.web_sessions.get

        def noted(digest: str) -> WebSession | None:
            found = get(digest)
            arrived.append(digest)
            return found

        monkeypatch.setattr(server.store.web_sessions, "get", noted)
        slow = [pool.submit(browser.get, f"/slow/{number}") for number in range(60)]
        try:
            until(lambda: len(arrived) == len(slow), "all users are known")
            assert browser.get("/").status == 200
            assert server.browser().get("/").status == 200
        finally:
            released.set()
        assert {answer.result().status for answer in slow} == {200}

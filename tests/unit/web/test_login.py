"""The link that logs a browser in, and the end of a session."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.base.errors import StoreFault
from pipeline.store.web_sessions import Role
from pipeline.testing.fakes.clock import FakeClock
from pipeline.web.sessions import new_login
from pipeline.web.settings import WebSettings
from tests.support.web import Browser, WebServer, web_server
from tests.unit.web.sample import Effects


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def server(tmp_path: Path, clock: FakeClock) -> Iterator[WebServer]:
    with web_server(tmp_path, clock=clock, catalogue=Effects().catalogue()) as found:
        yield found


def link(server: WebServer, role: Role = Role.LOOK) -> str:
    return new_login(server.store, "ann", role, server.reports.clock.now().wall)


def test_only_the_button_uses_a_link_up(server: WebServer) -> None:
    """Programs that preview links open the page any number of times. The button works once."""
    secret, browser = link(server), Browser(server.port)
    for _ in range(3):
        page = browser.get(f"/login?link={secret}")
        assert (page.status, "<button" in page.text) == (200, True)
    assert browser.post("/login", {"link": secret}).headers["location"] == "/"
    assert browser.get("/").status == 200
    again = Browser(server.port)
    answer = again.post("/login", {"link": secret})
    assert (answer.status, "used before" in answer.text) == (403, True)
    assert "used before" in again.get(f"/login?link={secret}").text
    assert again.get("/").status == 401


@pytest.mark.parametrize(("role", "may"), [(Role.LOOK, "without buttons"), (Role.OPERATE, "lets you use all buttons")])
def test_a_link_says_whom_it_logs_in(role: Role, may: str, server: WebServer) -> None:
    """With the role, before it is used. A wrong link says nothing about users."""
    browser, secret = Browser(server.port), link(server, role)
    page = browser.get(f"/login?link={secret}").part("content")
    assert f"<strong>ann</strong> with the role <strong>{role}</strong>" in page
    assert may in page
    assert "Log in as ann" in page
    assert "ann" not in browser.get(f"/login?link={secret[:-1]}").part("content")


def test_a_link_expires(server: WebServer, clock: FakeClock) -> None:
    """After ten minutes it begins no session."""
    secret = link(server)
    clock.advance(timedelta(minutes=10))
    assert Browser(server.port).post("/login", {"link": secret}).status == 403


@pytest.mark.parametrize("given", ["", "x", "%00", "a" * 5000])
def test_a_wrong_link_begins_nothing(given: str, server: WebServer) -> None:
    """Guesses are refused."""
    browser = Browser(server.port)
    assert browser.post("/login", {"link": given}).status == 403
    assert "<button" not in browser.get(f"/login?link={given}").text
    assert not browser.cookies


def test_the_database_has_no_secret(server: WebServer) -> None:
    """A copy of the database gives no access."""
    secret = link(server)
    browser = server.browser()
    content = b"".join(path.read_bytes() for path in server.home.root.glob("penstock.db*"))
    for value in (secret, *browser.cookies.values()):
        assert value.encode() not in content


def test_the_cookie_is_for_this_server_alone(server: WebServer) -> None:
    """No script can read it, and no other site can send it."""
    answer = Browser(server.port).post("/login", {"link": link(server)})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "max-age=2592000" in cookie
    assert "domain" not in cookie


def test_over_tls_the_cookie_is_for_this_host_alone(tmp_path: Path) -> None:
    """Behind HTTPS the cookie is Secure, and its name keeps other hosts of the domain from setting it."""
    settings = WebSettings(url="https://ci.example.com")
    with web_server(tmp_path, settings=settings, catalogue=Effects().catalogue()) as server:
        answer = Browser(server.port).post("/login", {"link": link(server)})
    assert answer.headers["set-cookie"].startswith("__Host-penstock-session=")
    assert "; secure" in answer.headers["set-cookie"].lower()
    assert "; path=/" in answer.headers["set-cookie"].lower()


def test_a_login_replaces_the_session(server: WebServer) -> None:
    """A session's secret is never one that the browser had before, so nobody can prepare it."""
    browser = Browser(server.port, {"penstock-session": "chosen-by-another"})
    browser.post("/login", {"link": link(server)})
    assert browser.cookies["penstock-session"] != "chosen-by-another"


def test_log_out(server: WebServer) -> None:
    """The session ends on the server too, so a copy of the cookie is useless."""
    browser = server.browser()
    copy = Browser(server.port, dict(browser.cookies))
    assert browser.post("/logout").headers["location"] == "/login"
    assert copy.get("/").status == 401


def test_the_role_is_that_of_the_link(server: WebServer) -> None:
    """The page names the user and the role."""
    assert "ann, role look" in server.browser(Role.LOOK).get("/").text
    assert "ann, role operate" in server.browser(Role.OPERATE).get("/").text


def test_a_name_is_shown_as_text(server: WebServer) -> None:
    """A name of a user with markup stays text."""
    page = server.browser(name="<script>alert(1)</script>").get("/").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;, role operate" in page
    assert "<script>alert" not in page


def test_a_link_is_used_once_by_many(server: WebServer) -> None:
    """Of browsers that press the button at the same time, one is logged in."""
    secret = link(server)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: Browser(server.port).post("/login", {"link": secret}).status, range(8)))
    assert sorted(answers) == [303] + [403] * 7


def test_what_began_while_the_clock_was_wrong_expires(server: WebServer, clock: FakeClock) -> None:
    """A session and a link from a far future are refused once the clock is right. A small step ends nothing."""
    browser, secret = server.browser(), link(server)
    clock.jump(timedelta(minutes=-9))
    assert browser.get("/").status == 200
    assert Browser(server.port).post("/login", {"link": secret}).status == 303
    later = link(server)
    clock.jump(timedelta(days=-400))
    assert browser.get("/").status == 401
    assert "used before" in Browser(server.port).get(f"/login?link={later}").text
    assert Browser(server.port).post("/login", {"link": later}).status == 403


def test_a_full_disk_ends_no_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its user has to see what is wrong, also if the time of the last use cannot be written."""

    def full(*_: object) -> None:
        raise StoreFault("database or disk is full")

    clock = FakeClock()
    with web_server(tmp_path, clock=clock, catalogue=Effects().catalogue()) as server:
        browser = server.browser()
        monkeypatch.setattr(server.store.web_sessions, "touch", full)
        clock.advance(timedelta(hours=2))
        assert browser.get("/").status == 200

"""Who may see and do what: sessions, roles, forms of other sites, and the names of the server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route

from pipeline.store.web_sessions import Role
from pipeline.testing.fakes.clock import FakeClock
from pipeline.web.app import WebApp
from pipeline.web.catalogue import Catalogue
from pipeline.web.form import TYPE, read_form
from pipeline.web.settings import WebSettings
from tests.support.web import Browser, WebServer, web_server
from tests.unit.web.sample import ACTION, Effects

ARGUMENTS = {"pipeline": "shop", "number": "1"}


@pytest.fixture
def effects() -> Effects:
    return Effects()


@pytest.fixture
def server(tmp_path: Path, effects: Effects) -> Iterator[WebServer]:
    with web_server(tmp_path, catalogue=effects.catalogue()) as found:
        yield found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """Serve the pages and actions of the program."""
    with web_server(tmp_path_factory.mktemp("shop")) as found:
        yield found


def filled(path: str) -> str:
    return re.sub(r"{([^}:]+)[^}]*}", lambda found: ARGUMENTS.get(found[1], "1"), path)


CATALOGUE = Catalogue.load()
PAGES = sorted({filled(page.path) for page in CATALOGUE.pages})
DOWNLOADS = sorted({filled(download.path) for download in CATALOGUE.downloads})
STREAMS = sorted(f"/live/{page.name}" for page in CATALOGUE.pages)
ACTIONS = sorted({filled(action.path) for action in CATALOGUE.actions} | {"/logout", "/theme"})


@pytest.mark.parametrize("path", [*PAGES, *DOWNLOADS, *STREAMS, "/nothing", "/static/../../etc/passwd"])
def test_nothing_is_shown_without_a_session(path: str, shop: WebServer) -> None:
    """Every page and stream, also of what does not exist, says only that a link is needed."""
    answer = Browser(shop.port).get(path)
    assert answer.status in ((401, 404) if path.startswith("/static") else (401,))
    assert "shop" not in answer.text


def test_a_link_of_another_site_is_followed(shop: WebServer) -> None:
    """Its request comes without the cookie, so the page loads itself. Without a session, that leads to the login."""
    answer = Browser(shop.port).get("/", Sec_Fetch_Site="cross-site")
    assert (answer.status, "http-equiv" in answer.text, "shop" in answer.text) == (401, True, False)
    answer = Browser(shop.port).get("/", Sec_Fetch_Site="same-origin")
    assert (answer.status, "http-equiv" in answer.text) == (401, False)


@pytest.mark.parametrize(
    ("site", "policy"), [("cross-site", "same-origin"), ("same-site", "same-origin"), ("none", ""), ("same-origin", "")]
)
def test_another_site_keeps_no_window_of_a_page(site: str, policy: str, shop: WebServer) -> None:
    """A page that another site opens is cut off from it. One that a user opens has no opener."""
    headers = shop.browser().get("/", Sec_Fetch_Site=site).headers
    assert headers.get("cross-origin-opener-policy", "") == policy
    assert shop.browser().get("/").headers["cross-origin-opener-policy"] == "same-origin", "a browser that does not say"


def test_a_link_of_another_site_leads_only_here(shop: WebServer) -> None:
    """A path that a browser could take for the name of another site is not linked."""
    for path in ("//evil.example/", "/%5C%5Cevil.example", "//evil.example%2F.."):
        page = Browser(shop.port).get(path, Sec_Fetch_Site="cross-site")
        assert (page.status, 'href="/"' in page.text, "evil" in page.text) == (401, True, False), path
    page = Browser(shop.port).get("/a%20b", Sec_Fetch_Site="cross-site")
    assert 'href="/a%20b"' in page.text


def test_an_error_leads_on(shop: WebServer) -> None:
    """It says what it is, and where the pipelines are."""
    page = shop.browser().get("/nothing").part("content")
    assert "<h1>Not found</h1>" in page
    assert '<a href="/">Now</a>' in page


def test_no_route_is_open_without_a_session(shop: WebServer) -> None:
    """Only the login, and the files of the package, are for everybody."""
    routes = WebApp(shop.reports, WebSettings(), "127.0.0.1:1").app().routes
    asked = {
        (method, filled(route.path))
        for route in routes
        if isinstance(route, Route) and route.path not in ("/login", "/static/{name}")
        for method in route.methods or ()
    }
    assert len(asked) > 6
    for method, path in sorted(asked):
        assert Browser(shop.port).send(method, path).status == 401, (method, path)


@pytest.mark.parametrize("path", ACTIONS)
def test_nothing_is_done_without_a_session(path: str, shop: WebServer) -> None:
    """Every action is refused, whatever its form has."""
    assert Browser(shop.port).post(path, {"csrf": "x"}).status == 401


def test_a_script_without_a_session_loads_the_page_again(shop: WebServer) -> None:
    """It does not put the page for the login into the middle of another page."""
    answer = Browser(shop.port).send("POST", "/logout", HX_Request="true")
    assert (answer.status, answer.headers["hx-refresh"], answer.body) == (401, "true", b"")


@pytest.mark.parametrize("path", ACTIONS)
def test_nothing_is_done_without_the_token_of_the_session(path: str, shop: WebServer) -> None:
    """A form without the token, or with that of another session, is refused."""
    browser, other = shop.browser(), shop.browser(name="bob")
    token = re.search(r'name="csrf" content="([^"]+)"', other.get("/").text)
    assert token
    for given in ("", "x", token[1]):
        answer = browser.post(path, {"csrf": given})
        assert answer.status == 403, given
        assert "not from a page of this session" in answer.text


@pytest.mark.parametrize("path", [path for path in ACTIONS if path not in ("/logout", "/theme")])
def test_nothing_is_done_in_the_role_look(path: str, shop: WebServer) -> None:
    """The role look is refused with a reason."""
    answer = shop.browser(Role.LOOK).post(path)
    assert (answer.status, "your role is look" in answer.text) == (403, True)


@pytest.mark.parametrize("path", PAGES)
def test_no_page_has_a_button_in_the_role_look(path: str, shop: WebServer) -> None:
    """Forms of the role look only end the session and choose colours, or load a page."""
    forms = re.findall(r'<form method="post" action="([^"]*)"', shop.browser(Role.LOOK).get(path).text)
    assert set(forms) <= {"/logout", "/theme"}


def test_an_action_is_done_in_the_name_of_its_user(server: WebServer, effects: Effects) -> None:
    """The role operate may use a button. Its handler gets the user, the arguments and the fields."""
    answer = server.browser(name="ann").post("/samples/a/press", {"reason": "now"})
    assert (answer.status, answer.headers["location"].partition("?")[0]) == (303, "/samples/a")
    assert effects.pressed == [("ann", "a", "now")]


def test_the_effect_is_shown_once(server: WebServer) -> None:
    """The page after an action has its message, and no other load of a page has it."""
    browser = server.browser()
    location = browser.post("/samples/a/press").headers["location"]
    assert "pressed a by ann" in browser.get(location).part("message")
    assert "pressed" not in browser.get(location).text
    other = server.browser(name="bob")
    location = browser.post("/samples/a/press").headers["location"]
    assert "pressed" not in other.get(location).text


def test_a_refused_action_is_explained(server: WebServer) -> None:
    """The message of an error is shown with its hint."""
    browser = server.browser()
    page = browser.get(browser.post("/samples/broken/press").headers["location"])
    message = page.part("message")
    assert "it is &lt;b&gt;broken&lt;/b&gt;" in message
    assert "repair it" in message


def test_a_script_gets_the_message_alone(server: WebServer) -> None:
    """With htmx, the response is the element with the message."""
    answer = server.browser().post("/samples/a/press", HX_Request="true")
    assert answer.text.startswith('<div id="message"')
    assert "pressed a by ann" in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://[evil"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", [ACTION, "/login", "/logout", "/theme"])
def test_a_form_of_another_site_is_refused(
    path: str, headers: dict[str, str], server: WebServer, effects: Effects
) -> None:
    """Browsers say where a form comes from. It is refused even with the right token, and so is a login."""
    answer = server.browser().post(path, {"link": "x"}, **headers)
    assert (answer.status, "came from another site" in answer.text) == (403, True)
    assert effects.pressed == []


def test_a_form_of_this_site_is_accepted(server: WebServer) -> None:
    """A browser names this server as the origin of the form."""
    origin = {"Origin": f"http://127.0.0.1:{server.port}", "Sec-Fetch-Site": "same-origin"}
    assert server.browser().post("/samples/a/press", **origin).status == 303


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b'{"csrf": "x"}', "application/json", 415),
        (b"csrf=x", "text/plain", 415),
        (b"csrf=x", "multipart/form-data; boundary=a", 415),
        (b"a=" + b"x" * 70_000, "application/x-www-form-urlencoded", 413),
        (b"&".join(b"a%d=1" % n for n in range(300)), "application/x-www-form-urlencoded", 400),
        (b"\xff\xfe=1", "application/x-www-form-urlencoded", 400),
    ],
)
def test_only_a_small_form_is_read(content: bytes, kind: str, status: int, server: WebServer) -> None:
    """Other types, which other sites could send unasked, large bodies and garbage are refused."""
    assert server.browser().send("POST", ACTION, content, Content_Type=kind).status == status


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_an_action_needs_a_post(method: str, server: WebServer, effects: Effects) -> None:
    """A link, an image or a prefetch begins nothing."""
    assert server.browser().send(method, ACTION).status in (404, 405)
    assert effects.pressed == []


def test_only_the_host_of_the_server_is_answered(server: WebServer) -> None:
    """Another name that leads here, of a site that wants to read the pages, is refused before anything else."""
    browser = server.browser()
    for host in ("evil.example", "127.0.0.1.evil.example", "evil.example:80", "", "localhost.evil.example", "[::2]"):
        answer = browser.get("/", Host=host)
        assert answer.status == 421, host
        assert "Samples" not in answer.text
    for host in ("localhost", "localhost:9001", "127.0.0.1", "[::1]:9001", "LOCALHOST:1", "penstock.localhost:9001"):
        assert browser.get("/", Host=host).status == 200, host


@pytest.mark.parametrize("path", ["/", "/samples/a", "/nothing", "/login", "/static/none.css", "/samples/fault"])
@pytest.mark.parametrize("logged_in", [True, False])
def test_every_response_has_the_headers(path: str, logged_in: bool, server: WebServer) -> None:
    """No response may be framed, run a script of others, be guessed to be of another type, or be kept."""
    browser = server.browser() if logged_in else Browser(server.port)
    headers = browser.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


@pytest.mark.parametrize(
    "back",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nX: y", "\\\\evil", ""],
)
def test_no_form_leads_to_another_site(back: str, server: WebServer) -> None:
    """The page to return to is a path of this server, or the first page."""
    answer = server.browser().post("/theme", {"theme": "dark", "back": back})
    assert (answer.status, answer.headers["location"]) == (303, "/")


def test_no_argument_leads_to_another_site(server: WebServer) -> None:
    """An argument of a path stays one segment of the path to return to."""
    browser = server.browser()
    for argument in ("%5C%5Cevil.example", "a%0D%0AX:%20y", "a%3Fb", "%C3%A4", "a:b@evil.example"):
        location = browser.post(f"/samples/{argument}/press").headers["location"]
        assert location.partition("?")[0] == f"/samples/{argument.replace(':b@', '%3Ab%40').replace('X:', 'X%3A')}"


def test_the_theme_is_kept(server: WebServer) -> None:
    """The colours are chosen by a form, without a script."""
    browser = server.browser()
    assert 'data-theme="auto"' in browser.get("/").text
    assert browser.post("/theme", {"theme": "contrast", "back": "/samples/a"}).headers["location"] == "/samples/a"
    assert 'data-theme="contrast"' in browser.get("/").text
    browser.post("/theme", {"theme": '"><script>'})
    assert 'data-theme="auto"' in browser.get("/").text


def test_a_stream_ends_with_its_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that is open when its session ends gets nothing more, and cannot come back."""
    monkeypatch.setattr("pipeline.web.stream.HEARTBEAT", 0.05)
    with web_server(tmp_path, catalogue=Effects().catalogue()) as server:
        browser = server.browser()
        live = browser.live("/samples/a")
        with browser.follow(live) as events:
            server.store.web_sessions.end_all(None)
            # The stream ends, which this awaits.
            assert list(events) == []
        assert browser.get(live).status == 401


def test_sessions_expire(tmp_path: Path) -> None:
    """A session ends twelve hours after its last use, and 30 days after its begin."""
    clock = FakeClock()
    with web_server(tmp_path, clock=clock, catalogue=Effects().catalogue()) as server:
        idle, used = server.browser(), server.browser()
        for _ in range(59):
            clock.advance(timedelta(hours=12) - timedelta(seconds=1))
            assert used.get("/").status == 200
        assert idle.get("/").status == 401
        clock.advance(timedelta(hours=12))
        assert used.get("/").status == 401


def test_a_session_outlasts_the_daemon(tmp_path: Path) -> None:
    """Another process of the same home knows the session."""
    with web_server(tmp_path, catalogue=Effects().catalogue()) as server:
        cookies = server.browser().cookies
    (tmp_path / "again").mkdir()
    (tmp_path / "home").rename(tmp_path / "again" / "home")
    with web_server(tmp_path / "again", catalogue=Effects().catalogue()) as server:
        assert Browser(server.port, cookies).get("/").status == 200


def test_a_client_that_sends_no_form() -> None:
    """Does not keep its connection: what it announced has to arrive in time."""

    async def nothing() -> dict[str, object]:
        await asyncio.Event().wait()
        return {}

    async def read() -> None:
        scope = {"type": "http", "method": "POST", "headers": [(b"content-type", TYPE.encode())]}
        with pytest.raises(HTTPException) as refused:
            await read_form(Request(scope, nothing), timeout=0.01)
        assert (refused.value.status_code, refused.value.detail) == (408, "the form did not arrive within 0.01 s")

    asyncio.run(read())

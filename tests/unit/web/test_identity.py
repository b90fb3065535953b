"""Users that a proxy names."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from pipeline.web.settings import IdentityHeader, WebSettings
from tests.support.web import Browser, WebServer, web_server
from tests.unit.web.sample import Effects

HEADER = IdentityHeader(header="X-Forwarded-User", look=("bob", "Jo Ann"), operate=("ann",))


@pytest.fixture
def effects() -> Effects:
    return Effects()


@pytest.fixture
def server(tmp_path: Path, effects: Effects) -> Iterator[WebServer]:
    settings = WebSettings(proxies=(ip_network("127.0.0.0/8"),), identity=HEADER)
    with web_server(tmp_path, settings=settings, catalogue=effects.catalogue()) as found:
        yield found


class Named(Browser):
    """A browser behind a proxy that names its user."""

    user = "ann"

    def send(self, method: str, path: str, body: bytes = b"", **headers: str):  # type: ignore[no-untyped-def]
        """Send a request as the proxy passes it on."""
        return super().send(method, path, body, **{"X-Forwarded-User": self.user, **headers})


def test_the_user_of_a_proxy_acts_in_its_name(server: WebServer, effects: Effects) -> None:
    """It needs no link. Its forms have a token from the first page on."""
    browser = Named(server.port)
    assert "ann, role operate" in browser.get("/").text
    assert browser.post("/samples/a/press").status == 303
    assert effects.pressed == [("ann", "a", "")]
    assert "Log out" not in browser.get("/").text


def test_a_form_of_a_proxys_user_needs_its_token(server: WebServer, effects: Effects) -> None:
    """The header alone is not enough, since the proxy adds it to the forms of other sites too."""
    form = b"csrf="
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert Named(server.port).send("POST", "/samples/a/press", form, **kind).status == 403
    other = Named(server.port)
    other.get("/")
    assert Named(server.port, dict(other.cookies)).post("/samples/a/press", {"csrf": "x"}).status == 403
    assert effects.pressed == []


@pytest.mark.parametrize("name", ["eve", "", "ANN", "ann bob", "ann,bob", "x" * 65, "*"])
def test_others_are_refused(name: str, server: WebServer) -> None:
    """A user that is in no list, and what is no name, has no access."""
    assert Browser(server.port).get("/", **{"X-Forwarded-User": name}).status == 401


def test_a_role_is_that_of_the_lists(server: WebServer) -> None:
    """A user in `look` only looks. A name may have spaces inside."""
    browser = Named(server.port)
    browser.user = "Jo Ann"
    assert "Jo Ann, role look" in browser.get("/").text
    assert browser.post("/samples/a/press").status == 403


def test_the_header_of_another_client_is_ignored(tmp_path: Path) -> None:
    """Only a peer in `proxies` is believed. X-Forwarded-For does not make a client one."""
    settings = WebSettings(proxies=(ip_network("10.0.0.0/8"),), identity=HEADER)
    with web_server(tmp_path, settings=settings, catalogue=Effects().catalogue()) as server:
        browser = Named(server.port)
        assert browser.get("/").status == 401
        assert browser.get("/", **{"X-Forwarded-For": "10.0.0.1", "Forwarded": "for=10.0.0.1"}).status == 401


def test_two_headers_are_refused(server: WebServer) -> None:
    """A client's own header beside that of the proxy could be read instead of it."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        head = (
            "GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-User: ann\r\nX-Forwarded-User: bob\r\nConnection: close"
        )
        client.sendall(f"{head}\r\n\r\n".encode())
        assert client.makefile("rb").readline().split()[1] == b"401"


def test_a_star_means_every_user(tmp_path: Path) -> None:
    """`*` in `look` gives the role look to each user that the proxy names."""
    header = IdentityHeader(header="Remote-User", look=("*",), operate=("ann",))
    settings = WebSettings(proxies=(ip_network("127.0.0.1/32"),), identity=header)
    with web_server(tmp_path, settings=settings, catalogue=Effects().catalogue()) as server:
        browser = Browser(server.port)
        assert "anyone, role look" in browser.get("/", **{"Remote-User": "anyone"}).text
        assert "ann, role operate" in browser.get("/", **{"Remote-User": "ann"}).text


def test_a_name_is_read_as_utf_8(tmp_path: Path) -> None:
    """As proxies send it and as web.yaml has it. Other bytes are read as Latin-1."""
    header = IdentityHeader(header="X-Forwarded-User", operate=("zoë",))
    settings = WebSettings(proxies=(ip_network("127.0.0.0/8"),), identity=header)
    with web_server(tmp_path, settings=settings, catalogue=Effects().catalogue()) as server:
        for sent in ("zoë".encode().decode("latin-1"), "zoë"):
            browser = Named(server.port)
            browser.user = sent
            assert "zoë, role operate" in browser.get("/").text

"""Clients that keep pages of the web interface open, as browsers do."""

from __future__ import annotations

import html
import http.client
import re
import selectors
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

_LIVE = re.compile(r'hx-sse:connect="([^"]+)"')
_TIMEOUT = 60.0


def cookie_of(link: str) -> str:
    """Log in by a link of `pipeline web login`, and return the header `Cookie`."""
    url = urlsplit(link)
    secret = url.query.partition("link=")[2]
    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=_TIMEOUT)
    origin = {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"http://{url.netloc}"}
    connection.request("POST", url.path, f"link={secret}", origin)
    answer = connection.getresponse()
    assert answer.status == 303, answer.status
    return str(answer.getheader("Set-Cookie")).partition(";")[0]


def fetch(url: str, path: str, cookie: str) -> str:
    """Return the HTML of a page."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=_TIMEOUT)
    connection.request("GET", path, headers={"Cookie": cookie})
    answer = connection.getresponse()
    assert answer.status == 200, f"{path}: {answer.status}"
    return answer.read().decode()


class OpenPages:
    """Streams of open pages. `received` is the number of bytes that have come, `ended` that of streams that ended."""

    def __init__(self) -> None:
        self.received = 0
        self.ended = 0
        self._selector = selectors.DefaultSelector()
        self._ending = threading.Event()

    def add(self, url: str, live: str, cookie: str) -> socket.socket:
        """Open one stream, and return its socket."""
        address = urlsplit(url)
        client = socket.create_connection((str(address.hostname), address.port), timeout=_TIMEOUT)
        client.sendall(f"GET {live} HTTP/1.1\r\nHost: {address.netloc}\r\nCookie: {cookie}\r\n\r\n".encode())
        head = client.recv(65536)
        assert head.startswith(b"HTTP/1.1 200"), head[:200]
        self._selector.register(client, selectors.EVENT_READ)
        return client

    def read(self) -> None:
        """Read what comes, until `end`."""
        while not self._ending.is_set():
            for key, _ in self._selector.select(0.2):
                assert isinstance(key.fileobj, socket.socket)
                if data := key.fileobj.recv(1 << 20):
                    self.received += len(data)
                else:
                    self.ended += 1
                    self._selector.unregister(key.fileobj)

    def end(self) -> None:
        """Let `read` return."""
        self._ending.set()


@contextmanager
def open_pages(url: str, paths: Sequence[str], cookies: Sequence[str]) -> Iterator[OpenPages]:
    """Keep a page open for each path until the block ends, by the users in turn."""
    pages = OpenPages()
    with ExitStack() as stack:
        found: dict[tuple[str, str], str] = {}
        for number, path in enumerate(paths):
            cookie = cookies[number % len(cookies)]
            if (path, cookie) not in found:
                live = _LIVE.search(fetch(url, path, cookie))
                assert live, f"{path} is not live"
                found[path, cookie] = html.unescape(live[1])
            stack.enter_context(pages.add(url, found[path, cookie], cookie))
        reader = threading.Thread(target=pages.read, daemon=True)
        reader.start()
        yield pages
        pages.end()
        reader.join()

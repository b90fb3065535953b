"""A failed POST has a reason without secrets, and says if a retry may help."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.reporters import DeliveryFailed
from pipeline.reporters.http_post import TIMEOUT, post
from tests.support.waiting import DEADLINE, SOON
from tests.unit.reporters.configuration import TOKEN
from tests.unit.reporters.recorder import Recorder

NOW, SECONDS = "Wed, 21 Oct 2026 07:28:00 GMT", 1792567680


def refused(url: str, headers: dict[str, str] | None = None, timeout: float = TIMEOUT) -> DeliveryFailed:
    with pytest.raises(DeliveryFailed) as caught:
        post(f"{url}/{TOKEN}", {}, headers, timeout)
    assert TOKEN not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("status", "headers", "retryable", "retry_after"),
    [
        (301, {"Location": "http://127.0.0.1:1/"}, False, 0),
        (302, {"Location": "/renamed"}, False, 0),
        (307, {"Location": "http://127.0.0.1:1/"}, False, 0),
        (307, {"Location": "http://localhost/"}, False, 0),
        (307, {"Location": "//example.com/"}, False, 0),
        (307, {}, False, 0),
        (403, {"Date": NOW, "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": f"{SECONDS + 90}"}, True, 90),
        (403, {"Date": NOW, "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": f"{SECONDS - 90}"}, True, 0),
        (403, {"Date": NOW, "X-RateLimit-Remaining": "41", "X-RateLimit-Reset": f"{SECONDS + 90}"}, False, 0),
        (429, {"Date": NOW, "RateLimit-Remaining": "0", "RateLimit-Reset": f"{SECONDS + 90}"}, True, 90),
        (429, {"RateLimit-Remaining": "0", "RateLimit-Reset": "50"}, True, 50),
        (403, {"Date": NOW, "Retry-After": "Wed, 21 Oct 2026 07:28:30 GMT"}, True, 30),
        (403, {"Retry-After": "soon"}, False, 0),
        (503, {"Retry-After": "9" * 5000}, True, 0),
        (400, {}, False, 0),
        (401, {}, False, 0),
        (403, {}, False, 0),
        (403, {"Retry-After": "30"}, True, 30),
        (404, {}, False, 0),
        (408, {}, True, 0),
        (422, {}, False, 0),
        (429, {"Retry-After": "7"}, True, 7),
        (429, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, True, 0),
        (500, {}, True, 0),
        (503, {}, True, 0),
    ],
)
def test_temporary_failures_are_retryable(
    status: int, headers: dict[str, str], retryable: bool, retry_after: float, forge: Recorder
) -> None:
    """Only temporary failures are retryable, and a redirect is not followed."""
    forge.responses = [(status, headers, b"")]
    error = refused(forge.url)
    assert (error.retryable, error.retry_after) == (retryable, retry_after)
    assert f"returned {status} " in str(error)


def test_a_rate_limit_without_a_header(forge: Recorder) -> None:
    """GitHub's secondary limit may have none. A retry waits for a minute."""
    forge.responses = [(403, {}, b'{"message": "You have exceeded a secondary rate limit."}')]
    error = refused(forge.url)
    assert (error.retryable, error.retry_after) == (True, 60)


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("location", ["/renamed?x=1", "{url}/renamed?x=1"])
def test_a_redirect_on_the_same_host_is_followed(status: int, location: str, forge: Recorder) -> None:
    """A renamed repository gets the same POST, with its token."""
    forge.responses = [(status, {"Location": location.replace("{url}", forge.url)}, b"")]
    post(f"{forge.url}/old", {"state": "success"}, {"Authorization": "Bearer ours"})
    old, new = forge.requests
    assert (old.path, new.path) == ("/old", "/renamed?x=1")
    assert new.data == {"state": "success"}
    assert new.headers["Authorization"] == "Bearer ours"


def test_redirects_in_a_circle_end(forge: Recorder) -> None:
    """After five redirects the message fails."""
    forge.responses = [(307, {"Location": "/again"}, b"")] * 20
    error = refused(forge.url)
    assert "redirected more than 5 times" in str(error)
    assert len(forge.requests) == 6


def test_an_error_after_a_redirect(forge: Recorder) -> None:
    """The reason is that of the last response."""
    forge.responses = [(307, {"Location": "/renamed"}, b""), (422, {}, b"")]
    assert "returned 422" in str(refused(forge.url))


@pytest.mark.parametrize(
    ("response", "shown"),
    [
        (b'{"message": "No commit found for SHA"}', ": No commit found for SHA"),
        (b'{"error": "insufficient_scope"}', ": insufficient_scope"),
        (b'{"message": {"name": ["too long"]}}', ": {'name': ['too long']}"),
        (b"invalid_payload\n", ": invalid_payload"),
        (b"<html>a page</html>", ""),
        (b"\x1b[31m\xff" + b"x" * 10_000, ": [31m\N{REPLACEMENT CHARACTER}" + "x" * 195),
        (b"[1]", ": [1]"),
        (b"", ""),
    ],
)
def test_the_message_of_the_response_is_shown(response: bytes, shown: str, forge: Recorder) -> None:
    """The reason has the message of the response, shortened and without control characters."""
    forge.responses = [(422, {}, response)]
    host = forge.url.removeprefix("http://")
    assert str(refused(forge.url)) == f"{host} returned 422 Unprocessable Entity{shown}"


def test_a_refused_connection() -> None:
    """The reason of a refused connection is the operating system's message."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    error = refused(f"http://127.0.0.1:{port}")
    assert str(error) == f"cannot reach 127.0.0.1:{port}: Connection refused"
    assert error.retryable


def test_a_connection_that_closes() -> None:
    """A connection that closes without a response is a retryable failure."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE)
        threading.Thread(target=lambda: server.accept()[0].close(), daemon=True).start()
        error = refused(f"http://127.0.0.1:{server.getsockname()[1]}")
    assert "cannot reach 127.0.0.1" in str(error)
    assert error.retryable


def test_a_server_that_does_not_respond(forge: Recorder) -> None:
    """A server that does not respond within the timeout fails. The default is ten seconds."""
    assert TIMEOUT == 10
    forge.released.clear()
    began = time.monotonic()
    error = refused(forge.url, timeout=0.2)
    assert time.monotonic() - began < SOON
    assert "did not respond within" in str(error)
    assert error.retryable


@pytest.mark.parametrize(
    "beginning",
    [b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 500 Oh\r\nContent-Length: 4000\r\n\r\n"],
    ids=["status", "header", "body"],
)
def test_a_server_that_responds_a_byte_at_a_time(beginning: bytes) -> None:
    """The timeout is for the whole response, not for each of its bytes."""
    ended = threading.Event()

    def drip(server: socket.socket) -> None:
        with server.accept()[0] as connection, suppress(OSError):
            connection.sendall(beginning)
            while not ended.wait(0.02):
                connection.sendall(b"2")

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE)
        threading.Thread(target=drip, args=[server], daemon=True).start()
        began = time.monotonic()
        error = refused(f"http://127.0.0.1:{server.getsockname()[1]}", timeout=0.5)
        assert time.monotonic() - began < SOON
        ended.set()
    assert "did not respond within" in str(error)
    assert error.retryable


def test_a_response_that_ends_early() -> None:
    """Its status is the reason."""

    def respond(server: socket.socket) -> None:
        with server.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE)
        threading.Thread(target=respond, args=[server], daemon=True).start()
        error = refused(f"http://127.0.0.1:{server.getsockname()[1]}")
    assert "returned 503 Busy" in str(error)
    assert error.retryable


@pytest.mark.parametrize("url", ["hooks.example.com/services", "ftp://example.com", "http://", "http://[::1", "x"])
def test_an_invalid_url(url: str) -> None:
    """The reason of an invalid URL does not show the secret."""
    assert not refused(url).retryable


def test_a_token_that_fits_no_header(forge: Recorder) -> None:
    """The reason of an invalid header does not show the token."""
    assert not refused(forge.url, {"Authorization": f"Bearer {TOKEN}\n"}).retryable
    assert not refused(forge.url, {"Authorization": f"Bearer {TOKEN}€"}).retryable
    assert forge.requests == []


def test_netrc_does_not_replace_the_token(forge: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry of ~/.netrc does not replace the token."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ada password x\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    post(forge.url, {}, {"Authorization": "Bearer ours"})
    assert forge.requests[0].headers["Authorization"] == "Bearer ours"

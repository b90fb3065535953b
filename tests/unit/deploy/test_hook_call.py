"""The HTTP request of a hook, to a server on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pipeline.base.clock import Clock, SystemClock
from pipeline.base.errors import Cancelled, StageFailed
from pipeline.config.hooks import HttpCall
from pipeline.config.secrets import Secrets
from pipeline.testing.fakes.clock import FakeClock
from stages.deploy.hook_call import HookCall
from tests.support.waiting import DEADLINE, until

VARIABLES = {"event": "AfterAllowTraffic", "release": 5}
LONG = timedelta(seconds=DEADLINE)


class Server(ThreadingHTTPServer):
    """Answers with its statuses, one after the other. A status of 0 does not answer before `released` is set."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses = [200]
        self.body = b""
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.released = threading.Event()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((self.command, self.path, headers, body))
        status = self.server.statuses.pop(0) if len(self.server.statuses) > 1 else self.server.statuses[0]
        if not status:
            self.server.released.wait(DEADLINE)
            return
        self.send_response(status)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = answer  # noqa: N815  # the names that the class looks for

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that answers with 200."""
    with Server() as made:
        threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield made
        made.released.set()
        made.shutdown()


def call(
    wanted: dict[str, Any],
    *,
    timeout: timedelta = LONG,
    clock: Clock | None = None,
    secrets: dict[str, str] | None = None,
    cancelled: threading.Event | None = None,
) -> list[str]:
    """Call, and return the lines of the attempts."""
    lines: list[str] = []
    made = HookCall("the hook", HttpCall.model_validate(wanted), Secrets(secrets), VARIABLES, lines.append)
    made.run(timeout, clock or FakeClock(auto_advance=True), cancelled or threading.Event())
    return lines


def test_a_get_has_no_body(server: Server) -> None:
    """A URL alone is a GET. It has the name of the program."""
    assert call({"url": f"{server.url}/healthz?deep=1"}) == [f"GET {server.host}: succeeded"]
    ((method, path, headers, body),) = server.requests
    assert (method, path, body) == ("GET", "/healthz?deep=1", b"")
    assert headers["user-agent"].startswith("penstock/")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_post_has_the_variables(server: Server, method: str) -> None:
    """As JSON, beside headers whose secrets are resolved."""
    wanted = {"url": f"{server.url}/${{secret:PATH}}", "method": method, "headers": {"X-Key": "is ${secret:KEY}"}}
    lines = call(wanted, secrets={"PATH": "hook", "KEY": "s3cret"})
    ((sent, path, headers, body),) = server.requests
    assert (sent, path, headers["x-key"], headers["content-type"]) == (method, "/hook", "is s3cret", "application/json")
    assert json.loads(body) == VARIABLES
    assert "s3cret" not in str(lines)


@pytest.mark.parametrize(("expected", "status"), [("404", 404), ("200,300-399", 302), ("200-299", 204)])
def test_the_expected_status_counts(server: Server, expected: str, status: int) -> None:
    """A redirect is not followed."""
    server.statuses = [status]
    call({"url": server.url, "expected_status": expected})
    assert len(server.requests) == 1


def test_another_status_fails(server: Server) -> None:
    """The error has the status and the begin of the response, without line breaks and control characters."""
    server.statuses, server.body = [503], b"not\x1b ready\nyet" + b"!" * 500
    with pytest.raises(StageFailed) as error:
        call({"url": f"{server.url}/secret/path"})
    begin = f"the hook failed: {server.host} returned 503 instead of 200-299: not ready yet!!!"
    assert error.value.message.startswith(begin)
    assert len(error.value.message) < len(begin) + 200


def test_a_failed_call_is_repeated(server: Server) -> None:
    """After the interval, until it succeeds."""
    server.statuses = [500, 502, 200]
    clock = FakeClock(auto_advance=True)
    lines = call({"url": server.url, "retries": 5, "interval": "7s"}, clock=clock)
    assert [line.partition(": ")[2][:12] for line in lines] == ["returned 500", "returned 502", "succeeded"]
    assert clock.waits == [timedelta(seconds=7)] * 2


def test_the_retries_end(server: Server) -> None:
    """The error counts the attempts."""
    server.statuses = [500]
    with pytest.raises(StageFailed, match=r"^the hook failed 3 times: .* returned 500 instead of 200-299$"):
        call({"url": server.url, "retries": 2})
    assert len(server.requests) == 3


def test_the_timeout_ends_the_retries(server: Server) -> None:
    """A hook with many retries ends after its own time-out."""
    server.statuses = [500]
    with pytest.raises(StageFailed, match=r"^the hook did not succeed within 1m: .* returned 500 instead of 200-299$"):
        call({"url": server.url, "retries": 100, "interval": "25s"}, timeout=timedelta(minutes=1))
    assert len(server.requests) == 3


def test_no_wait_is_longer_than_the_timeout(server: Server) -> None:
    """A hook fails at once if its next attempt would be due after its time-out."""
    server.statuses = [500]
    clock = FakeClock(auto_advance=True)
    begin = clock.monotonic()
    with pytest.raises(StageFailed, match=r"^the hook did not succeed within 10m: "):
        call({"url": server.url, "retries": 3, "interval": "1h"}, timeout=timedelta(minutes=10), clock=clock)
    assert clock.monotonic() - begin < 600
    assert len(server.requests) == 1


def test_a_call_without_a_response_fails(server: Server) -> None:
    """After the time of an attempt, and the next attempt may succeed."""
    server.statuses = [0, 200]
    lines = call(
        {"url": server.url, "retries": 1, "interval": "100ms", "attempt_timeout": "200ms"}, clock=SystemClock()
    )
    assert lines == [f"GET {server.host}: did not respond within 200ms", f"GET {server.host}: succeeded"]


def test_a_server_that_is_not_there() -> None:
    """The error has the reason of the system and no more of the URL than its host."""
    with pytest.raises(StageFailed, match=r"^the hook failed: 127\.0\.0\.1:1 cannot be reached: Connection refused$"):
        call({"url": "http://user:${secret:KEY}@127.0.0.1:1/${secret:KEY}"}, secrets={"KEY": "s3cret"})


def test_the_password_of_a_url_is_sent(server: Server) -> None:
    """As other clients send it. No output shows it."""
    lines = call({"url": f"http://ann:${{secret:KEY}}@{server.host}/x"}, secrets={"KEY": "p%40ss"})
    ((_, path, headers, _),) = server.requests
    assert (path, headers["authorization"]) == ("/x", "Basic YW5uOnBAc3M=")
    assert lines == [f"GET {server.host}: succeeded"]


def test_an_invalid_secret_is_not_shown(server: Server) -> None:
    """A header with a line break is refused before anything is sent."""
    with pytest.raises(StageFailed) as error:
        call({"url": server.url, "headers": {"X-Key": "${secret:KEY}"}}, secrets={"KEY": "s3\nret"})
    assert error.value.message == f"the hook failed: {server.host} cannot be called: the URL or a header is not valid"
    assert server.requests == []


def test_a_cancellation_ends_a_call(server: Server) -> None:
    """Before the server answers, and also between two attempts."""
    server.statuses = [0]
    cancelled, failures = threading.Event(), list[str]()

    def work() -> None:
        try:
            call({"url": server.url}, clock=SystemClock(), cancelled=cancelled)
        except Cancelled as error:
            failures.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: server.requests, "the call has arrived")
    cancelled.set()
    thread.join(DEADLINE)
    assert failures == ["cancelled"]
    server.statuses = [500]
    clock = FakeClock(auto_advance=True)
    clock.call_at(timedelta(seconds=2), cancelled.set)
    cancelled.clear()
    with pytest.raises(Cancelled):
        call({"url": server.url, "retries": 9}, clock=clock, cancelled=cancelled)

"""Webhooks over real HTTP: genuine deliveries arrive, and none of some 400 forgeries does."""

from __future__ import annotations

import http.client
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import uvicorn

from pipeline.base.errors import ConfigError
from pipeline.config.triggers import Forge
from pipeline.http.webhooks import MAX_CONNECTIONS, MAX_LARGE_BODIES, Limits, webhook_config
from pipeline.triggers.webhook import LIMIT
from tests.support.waiting import DEADLINE, until
from tests.support.webhooks.deliveries import (
    MARK,
    NONE,
    SECRET,
    SHA,
    Sent,
    chunked,
    payload,
    sent,
    sent_form,
    sent_signed,
    signature,
    wire,
)
from tests.support.webhooks.invalid_requests import FORGES, Forgery, forgeries
from tests.system.inbox import RecordingInbox

_CHUNK = b"10000\r\n" + bytes(2**16) + b"\r\n"


class Answer(NamedTuple):
    """The response. `status` is 0 if there was none."""

    status: int
    headers: dict[str, str]
    content: dict[str, Any]


class Door:
    """The application, served as in production, on a loopback port."""

    def __init__(self, inbox: RecordingInbox, limits: Limits | None = None) -> None:
        self.inbox = inbox
        self.limits = limits or Limits()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self._listening.getsockname()[1]
        config = webhook_config(inbox, limits=self.limits)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listening]}, daemon=True)
        self._thread.start()
        until(lambda: self._server.started, "the start of the server")

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()

    def is_full(self) -> bool:
        """Return whether as many large bodies are being read as the limit allows."""
        return self.limits.large_bodies.locked()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE)

    def exchange(self, request: bytes, *, is_cut: bool = False) -> Answer:
        """Send bytes and read the response, even if the server responds before all is sent."""
        with closing(self.connect()) as connection:
            with suppress(ConnectionError):
                connection.sendall(request)
                if is_cut:
                    connection.shutdown(socket.SHUT_WR)
            return answer(connection, request.split(b" ", 1)[0].decode())


def answer(connection: socket.socket, method: str = "POST") -> Answer:
    """Read the server's response on this connection."""
    with closing(http.client.HTTPResponse(connection, method=method)) as response:
        try:
            response.begin()
        except (ConnectionError, http.client.HTTPException):
            return Answer(0, {}, {})
        body = response.read()
    is_json = body and response.headers["Content-Type"] == "application/json"
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status, headers, json.loads(body) if is_json else {})


@pytest.fixture(scope="module")
def server() -> Iterator[Door]:
    door = Door(RecordingInbox())
    yield door
    door.close()


@pytest.fixture
def door(server: Door) -> Iterator[Door]:
    """The server, without deliveries."""
    server.inbox.arrived.clear()
    yield server
    server.inbox.failure = server.inbox.unreadable = None
    server.inbox.released.set()


_FORGERIES = forgeries()


def test_there_are_hundreds_of_forgeries_each_of_its_own() -> None:
    """All forgeries have different names and requests."""
    assert len(_FORGERIES) >= 200
    assert len({forgery.name for forgery in _FORGERIES}) == len(_FORGERIES)
    assert len({forgery.request for forgery in _FORGERIES}) == len(_FORGERIES)


@pytest.mark.parametrize("forgery", _FORGERIES, ids=lambda forgery: ascii(forgery.name))
def test_a_forgery_is_refused(door: Door, forgery: Forgery, caplog: pytest.LogCaptureFixture) -> None:
    """A forgery gets its status, does not arrive, and leaves no body or secret in the log."""
    caplog.set_level(logging.DEBUG)
    got = door.exchange(forgery.request, is_cut=forgery.is_cut)
    assert got.status == forgery.status
    assert got.headers["connection"] == "close"
    assert door.inbox.arrived == []
    said = caplog.text + json.dumps(got.content)
    assert MARK not in said
    assert SECRET not in said
    for name, value in _headers(forgery.request):
        if "signature" in name or "token" in name:
            assert len(value) < 8 or value not in said
    if got.content:
        assert f"'status': {forgery.status}" in caplog.text


def _headers(request: bytes) -> Iterator[tuple[str, str]]:
    for line in request.split(b"\r\n\r\n", 1)[0].decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        yield name.lower(), value.strip()


@pytest.mark.parametrize("forge", FORGES)
@pytest.mark.parametrize("ref", ["refs/heads/main", "refs/tags/v1.2.0", "refs/heads/release/2026", "refs/heads/größe"])
def test_a_push_arrives(door: Door, forge: Forge, ref: str) -> None:
    """A branch or a tag that was pushed arrives with its ref, its commit and the forge's name for the delivery."""
    request = sent(forge, payload(forge, ref))
    got = door.exchange(wire(request))
    assert got.status == 202
    assert got.content == {"status": "accepted", "pipeline": "shop", "ref": ref, "sha": SHA}
    ((pipeline, delivery),) = door.inbox.arrived
    assert (pipeline, delivery.forge, delivery.ref, delivery.sha) == ("shop", forge, ref, SHA)
    names = {"github": "X-GitHub-Delivery", "gitea": "X-Gitea-Delivery", "gitlab": "Idempotency-Key"}
    assert delivery.id == request.header(names[forge])


@pytest.mark.parametrize(
    ("what", "request_of"),
    [
        ("a form of GitHub's", lambda body: wire(sent_form(body))),
        ("a charset", lambda body: wire(sent("github", body).having(content_type='application/json; charset="UTF-8"'))),
        ("chunks", lambda body: chunked(sent("github", body), 7)),
        ("Forgejo's headers", lambda body: wire(_of_forgejo(sent("gitea", body)))),
        ("a query", lambda body: wire(_asking(sent("gitea", body)))),
        ("a signing token", lambda body: wire(sent_signed(body))),
        ("a signing token and an old one", lambda body: wire(_also_signed(sent_signed(body)))),
    ],
)
def test_a_push_arrives_however_it_is_sent(door: Door, what: str, request_of: Any) -> None:
    """Every form in which a forge may send a push is accepted."""
    got = door.exchange(request_of(payload("github", f"refs/heads/{what.replace(' ', '-')}")))
    assert got.status == 202, got
    assert [delivery.ref for _, delivery in door.inbox.arrived] == [f"refs/heads/{what.replace(' ', '-')}"]


def _of_forgejo(request: Sent) -> Sent:
    return replace(
        request,
        headers=request.headers + tuple((n.replace("Gitea", "Forgejo"), v) for n, v in request.headers if "Gitea" in n),
    )


def _asking(request: Sent) -> Sent:
    return replace(request, path=f"{request.path}?a=b")


def _also_signed(request: Sent) -> Sent:
    return request.having(webhook_signature=f"v1,{'A' * 43}= {request.header('webhook-signature')}")


def test_a_repository_of_sha_256_may_send(door: Door) -> None:
    """Object names of 64 digits are accepted."""
    assert door.exchange(wire(sent("gitea", payload("gitea", sha="ab" * 32)))).status == 202
    assert door.inbox.arrived[0][1].sha == "ab" * 32


def test_the_largest_body_is_taken(door: Door) -> None:
    """A genuine delivery of exactly the limit arrives."""
    body = payload("github", "refs/heads/large")
    assert door.exchange(wire(sent("github", body + b" " * (LIMIT - len(body))))).status == 202
    assert len(door.inbox.arrived) == 1


@pytest.mark.parametrize(
    ("forge", "event"),
    [("github", "ping"), ("github", "create"), ("github", "pull_request"), ("gitea", "create"), ("gitlab", "Job Hook")],
)
def test_other_events_start_nothing(door: Door, forge: Forge, event: str) -> None:
    """A ping or another event gets a success status and is ignored."""
    got = door.exchange(wire(sent(forge, b'{"zen": "Half measures are as bad as nothing at all."}', event=event)))
    assert (got.status, got.content["status"]) == (200, "ignored")
    assert event in got.content["reason"]
    assert door.inbox.arrived == []


@pytest.mark.parametrize("forge", FORGES)
def test_a_deleted_branch_starts_nothing(door: Door, forge: Forge) -> None:
    """A deleted branch is ignored."""
    got = door.exchange(wire(sent(forge, payload(forge, sha=NONE))))
    assert (got.status, got.content) == (200, {"status": "ignored", "reason": "refs/heads/main was deleted"})
    assert door.inbox.arrived == []


@pytest.mark.parametrize("forge", FORGES)
def test_a_replay_starts_nothing(door: Door, forge: Forge) -> None:
    """A repeated delivery gets the same response and does not arrive."""
    request = wire(sent(forge, payload(forge, "refs/heads/once")))
    assert door.exchange(request).content["status"] == "accepted"
    again = door.exchange(request)
    assert (again.status, again.content["status"]) == (202, "known")
    assert len(door.inbox.arrived) == 1


@pytest.mark.parametrize(("forge", "name"), [("github", "X-GitHub-Delivery"), ("gitea", "X-Gitea-Delivery")])
def test_a_replay_under_another_name_starts_nothing(door: Door, forge: Forge, name: str) -> None:
    """A replay with another unsigned delivery id does not arrive."""
    request = sent(forge, payload(forge, "refs/heads/renamed"))
    assert door.exchange(wire(request)).content["status"] == "accepted"
    assert door.exchange(wire(request.having(**{name: "another"}))).content["status"] == "known"
    assert len(door.inbox.arrived) == 1


def test_a_replay_at_the_same_time_starts_nothing(door: Door) -> None:
    """Of twenty concurrent copies, one arrives."""
    request = wire(sent("github", payload("github", "refs/heads/twenty")))
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda: answers.append(door.exchange(request).content["status"])) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == ["accepted"] + ["known"] * 19
    assert len(door.inbox.arrived) == 1


def test_the_same_push_again_is_no_replay_of_gitlabs(door: Door) -> None:
    """Two identical bodies with different ids both arrive."""
    for _ in range(2):
        assert door.exchange(wire(sent("gitlab"))).content["status"] == "accepted"
    assert len(door.inbox.arrived) == 2


def test_what_could_not_be_taken_in_may_be_sent_again(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    """A failing inbox gives 503, and the forge's next try is no replay."""
    request = wire(sent("github", payload("github", "refs/heads/again")))
    door.inbox.failure = OSError("no space left on device")
    got = door.exchange(request)
    assert (got.status, got.headers["retry-after"]) == (503, "30")
    assert "no space left" in caplog.text
    assert MARK not in caplog.text
    door.inbox.failure = None
    assert door.exchange(request).content["status"] == "accepted"


def test_a_fault_of_ours_is_not_told_as_one_of_the_forges(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    """An unreadable secret gives a status to retry, and a log line."""
    door.inbox.unreadable = ConfigError("GITHUB_SECRET is not in .secrets")
    got = door.exchange(wire(sent("github")))
    assert (got.status, got.headers["retry-after"]) == (503, "30")
    assert "GITHUB_SECRET is not in .secrets" in caplog.text
    assert "GITHUB_SECRET" not in json.dumps(got.content)


def test_one_that_waits_does_not_hold_up_another(door: Door) -> None:
    """Deliveries are answered while the inbox is busy with another one."""
    door.inbox.released.clear()
    with closing(door.connect()) as waiting:
        waiting.sendall(wire(sent("github", pipeline="slow")))
        assert door.exchange(wire(sent("github", payload("github", "refs/heads/next")))).status == 202
        assert [pipeline for pipeline, _ in door.inbox.arrived] == ["shop"]
        door.inbox.released.set()
        assert answer(waiting).status == 202


def test_slow_clients_do_not_hold_up_others(door: Door) -> None:
    """A push arrives while too many partial requests are open."""
    with ExitStack() as stack:
        slow = [stack.enter_context(closing(door.connect())) for _ in range(MAX_CONNECTIONS + 50)]
        for connection in slow:
            with suppress(ConnectionError):
                connection.sendall(b"POST /webhooks/shop/github HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        began = time.monotonic()
        assert door.exchange(wire(sent("github", payload("github", "refs/heads/quick")))).status == 202
        assert time.monotonic() - began < door.limits.connection_timeout / 2
        slow[0].settimeout(door.limits.connection_timeout / 4)
        assert _is_closed(slow[0])
        slow[-1].settimeout(0.05)
        with pytest.raises(TimeoutError):
            slow[-1].recv(1)


def _is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    """A client that stops within its body gets 408 after the timeout."""
    with closing(Door(RecordingInbox(), Limits(body_timeout=0.2))) as door:
        assert door.exchange(wire(sent("github"))[:-10]).status == 408
        assert door.inbox.arrived == []


def test_a_client_that_says_nothing_is_sent_away() -> None:
    """A connection without a request is closed after the timeout."""
    with closing(Door(RecordingInbox(), Limits(connection_timeout=0.2))) as door, closing(door.connect()) as connection:
        assert _is_closed(connection)


def test_large_deliveries_do_not_fill_the_memory_together(door: Door) -> None:
    """A delivery beyond the limit of large bodies is asked to retry, and a usual one arrives."""
    large = wire(sent("github", payload("github") + b" " * 2**20))
    with ExitStack() as stack:
        reading = [stack.enter_context(closing(door.connect())) for _ in range(MAX_LARGE_BODIES)]
        for connection in reading:
            connection.sendall(large[: 2**19])
        until(door.is_full, "as many large bodies as may be read")
        assert door.exchange(large).status == 503
        assert door.exchange(wire(sent("github", payload("github", "refs/heads/usual")))).status == 202
        for connection in reading:
            connection.sendall(large[2**19 :])
        assert {answer(connection).status for connection in reading} == {202}
    later = wire(sent("github", payload("github", "refs/heads/then") + b" " * 2**20))
    until(lambda: door.exchange(later).status == 202, "room for a large body")


@pytest.mark.parametrize(("is_signed", "most"), [(True, 80), (False, 8)])
def test_an_upload_of_a_gigabyte_takes_no_memory(door: Door, is_signed: bool, most: int) -> None:
    """An upload is refused at the limit, or at once without a signature."""
    request = sent("github", b"").having(x_hub_signature_256=f"sha256={signature(b'')}" if is_signed else None)
    head = wire(request, (("Transfer-Encoding", "chunked"),))
    before, sent_bytes = _peak(reset=True), 0
    with closing(door.connect()) as connection:
        connection.sendall(head)
        with suppress(ConnectionError):
            while sent_bytes < 2**30:
                connection.sendall(_CHUNK)
                sent_bytes += 2**16
        assert answer(connection).status == (413 if is_signed else 401)
    assert sent_bytes < 2 * LIMIT
    assert _peak() - before < most * 2**20
    assert door.inbox.arrived == []


def _peak(*, reset: bool = False) -> int:
    """Return the peak memory of this process since the last reset, in bytes."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) * 1024

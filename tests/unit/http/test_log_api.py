"""The output of containers over the control API: the last lines and streams, with secrets masked."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import ConfigError, EngineFault
from pipeline.engine import hosts
from pipeline.store.replica_logs import ReplicaLogs
from tests.support.api_daemon import ApiDaemon, api_daemon
from tests.support.logged_containers import FakeConsole, stamped
from tests.support.shop_pipeline import PIPELINE

SECRET = "seven-secret-words"
HOSTILE = "\x1b[31m<script>\u2028"


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> FakeConsole:
    """Two replicas and an accessory."""
    found = FakeConsole()
    monkeypatch.setattr(hosts, "local_console", lambda *_: found)
    found.print("shop.web.r2.aaaaaa", stamped(1), stamped(3, f"key {SECRET}"))
    found.print("shop.worker.r2.bbbbbb", stamped(2, HOSTILE))
    found.print("shop.db.accessory.cccccc", stamped(4, f"ready {SECRET}"))
    return found


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, console: FakeConsole) -> Iterator[ApiDaemon]:
    monkeypatch.setenv("KEY", SECRET)
    text = PIPELINE.replace("target_group: web}", 'target_group: web, environment: {KEY: "${secret:KEY}"}}', 1)
    with api_daemon(tmp_path, text) as found:
        yield found


@contextmanager
def stream(daemon: ApiDaemon, path: str) -> Iterator[Iterator[tuple[str, Any]]]:
    """Yield the events of a stream: their names and data."""
    with closing(http.client.HTTPConnection("penstock", timeout=60)) as connection:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(60)
        connection.sock.connect(str(daemon.home.daemon_socket))
        connection.request("GET", f"/v1/pipelines/shop/{path}")
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("Content-Type")) == (200, "text/event-stream; charset=utf-8")

        def events() -> Iterator[tuple[str, Any]]:
            while line := answer.readline():
                if line.startswith(b"event: "):
                    yield line[7:].decode().strip(), json.loads(answer.readline().removeprefix(b"data: "))

        yield events()


def texts(lines: list[Any]) -> list[str]:
    return [line["text"] for line in lines]


def test_the_last_lines_of_all_replicas(daemon: ApiDaemon) -> None:
    """By their time, those of a removed replica included. Secrets are masked, and control characters are data."""
    saved = ReplicaLogs(daemon.home.replica_logs("shop"))
    saved.save("shop.web.r1.dddddd", [stamped(0).encode()])
    found = daemon.get("logs")
    assert found["missing"] == {}
    assert texts(found["lines"]) == ["0", "1", HOSTILE, "key ***"]
    assert found["lines"][1] == {
        "at": "2026-01-02T03:04:05.000000001Z",
        "service": "web",
        "release": 2,
        "replica": "shop.web.r2.aaaaaa",
        "text": "1",
    }
    assert texts(daemon.get("logs", tail=1)["lines"]) == ["key ***"]
    assert texts(daemon.get("logs", service="worker")["lines"]) == [HOSTILE]
    assert texts(daemon.get("logs", release=1)["lines"]) == ["0"]
    assert texts(daemon.get("logs", replica="shop.web.r1.dddddd")["lines"]) == ["0"]
    assert texts(daemon.get("logs", contains="key")["lines"]) == ["key ***"]
    assert texts(daemon.get("logs", since="1s")["lines"]) == []


def test_hosts_that_do_not_answer_are_named(daemon: ApiDaemon, console: FakeConsole) -> None:
    """The lines of the others are complete."""
    console.hosts["shop.worker.r2.bbbbbb"] = "app2"
    console.missing["app2"] = EngineFault("host app2: no answer")
    found = daemon.get("logs")
    assert (texts(found["lines"]), found["missing"]) == (["1", "key ***"], {"app2": "no answer"})


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("logs?tail=x", "tail: Input should be a valid integer, unable to parse string as an integer"),
        ("logs?tail=10001", "tail: Input should be less than or equal to 10000"),
        ("logs?since=5", "since: '5' is not a valid duration; write 500ms, 30s, 2m or 1h"),
        ("logs/stream?release=-1", "release: Input should be greater than or equal to 1"),
        ("logs?servic=web", "unknown parameter 'servic'; did you mean service?"),
        ("accessories/bd/logs", "accessory bd has no container"),
        ("accessories/bd/logs/stream", "accessory bd has no container"),
    ],
)
def test_bad_requests_are_explained(daemon: ApiDaemon, path: str, message: str) -> None:
    """The message names what is wrong."""
    with pytest.raises(ConfigError) as error:
        daemon.get(path)
    assert error.value.message == message


def test_lines_are_streamed(daemon: ApiDaemon, console: FakeConsole) -> None:
    """From the last ones on, and those of replicas that are started later."""
    with stream(daemon, "logs/stream?tail=1&service=web") as events:
        assert next(events)[1]["text"] == "key ***"
        console.print("shop.web.r2.aaaaaa", stamped(5))
        assert next(events)[1]["text"] == "5"
        console.print("shop.web.r3.eeeeee", stamped(6), stamped(7))
        assert [next(events)[1]["replica"] for _ in range(2)] == ["shop.web.r3.eeeeee"] * 2


def test_a_stream_ends_with_the_fault_of_the_engine(daemon: ApiDaemon, console: FakeConsole) -> None:
    """Its status was sent before."""
    console.fault = EngineFault("Docker: gone")
    with stream(daemon, "logs/stream") as events:
        assert list(events) == [("error", {"error": "Docker: gone", "hint": None, "exit_code": 3})]


def test_the_output_of_an_accessory(daemon: ApiDaemon, console: FakeConsole) -> None:
    """Its last lines, and a stream until it stops."""
    name = "shop.db.accessory.cccccc"
    assert daemon.get("accessories/db/logs") == [
        {"at": "2026-01-02T03:04:05.000000004Z", "accessory": "db", "container": name, "text": "ready ***"}
    ]
    with stream(daemon, "accessories/db/logs/stream") as events:
        assert next(events)[1]["text"] == "ready ***"
        console.print(name, stamped(5))
        assert next(events)[1]["text"] == "5"
        console.logs[name].state = "exited"
        assert next(events) == ("end", {})

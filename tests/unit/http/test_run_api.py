"""The endpoints that read one run."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.home import Home
from pipeline.base.sockets import private_socket
from pipeline.daemon.control import Control
from pipeline.daemon.scheduler import Scheduler
from pipeline.daemon.served_file import ServedFile
from pipeline.daemon.supervisor import PipelineSupervisor
from pipeline.event_kinds import EventKind
from pipeline.events import Events
from pipeline.http.api import ControlApi
from pipeline.http.serving import control_config, http_server
from pipeline.store.store import Store
from pipeline.testing.fakes.clock import FakeClock
from tests.support.pipeline_yaml import MINIMAL
from tests.support.reports import reports_of
from tests.support.started_runs import begin_run


class Daemon:
    """A control API whose pipeline has one run."""

    def __init__(self, home: Home, store: Store) -> None:
        self.home = home
        self.store = store
        self.events = Events("shop", 1)
        self.events.subscribe(store.events.record)

    def get(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Return the status, the headers and the content of a response, for a path that is sent as it is."""
        with closing(http.client.HTTPConnection("penstock")) as connection:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(str(self.home.daemon_socket))
            connection.request("GET", f"/v1/pipelines/shop/runs/{path}")
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def json(self, path: str) -> Any:
        """Return the JSON of a response."""
        status, _, content = self.get(path)
        assert status == 200, content
        return json.loads(content)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    file = tmp_path / "pipeline.yaml"
    file.write_text(MINIMAL)
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    with Store(home.database) as store:
        clock = FakeClock()
        supervisor = PipelineSupervisor(ServedFile(file, home, store, ()), clock, Scheduler(clock))
        app = ControlApi(reports_of(home, Control({"shop": supervisor}, store))).app()
        begin_run(store, "shop")
        with http_server(lambda: control_config(app), private_socket(home.daemon_socket)):
            yield Daemon(home, store)


def test_a_run_has_the_result_of_its_tests(daemon: Daemon) -> None:
    """Of the last attempt. A run without a report has none."""
    assert daemon.json("1")["tests"] is None
    for failed in ("a.b\nc", "a.b"):
        count = len(failed.splitlines())
        daemon.events.emit(EventKind.TEST_REPORTED, "", tests=5, failed=count, skipped=1, names=failed)
    assert daemon.json("1")["tests"] == {"tests": 5, "failed": 1, "skipped": 1, "failures": ["a.b"]}


def test_the_timeline_has_all_events(daemon: Daemon) -> None:
    """Also more than are read at once."""
    for number in range(1200):
        daemon.events.emit(EventKind.DEPLOYMENT_WARNING, f"warning {number}")
    daemon.events.emit(EventKind.ROLLOUT_STARTED, "", service="web", release=1, replicas=1, floor=0, targets="")
    found = daemon.json("1/timeline")
    assert (found["run"], found["state"], len(found["marks"])) == (1, "running", 1200)
    assert [service["name"] for service in found["services"]] == ["web"]
    assert found["last_event"] == 1201


def test_an_artifact_is_downloaded(daemon: Daemon) -> None:
    """By the address of the list, whatever its name is."""
    folder = daemon.home.run_artifacts("shop", 1) / "out"
    folder.mkdir(parents=True)
    names = ["a b.txt", "\udcff.bin", "<b>.html", "per%2fcent", "x?y#z"]
    for name in names:
        (folder / name).write_bytes(os.fsencode(name) * 100_000)
    found = daemon.json("1/artifacts")
    assert len(found) == len(names)
    for each in found:
        status, headers, content = daemon.get(each["url"].removeprefix("/v1/pipelines/shop/runs/"))
        assert (status, len(content)) == (200, each["size"])
        assert headers["content-type"] == "application/octet-stream"
        assert headers["content-disposition"].startswith("attachment; filename*=UTF-8''")


@pytest.mark.parametrize(
    "path", ["..%2f1.jsonl", "../1.jsonl", "out", "nothing", "%00", "%ff", "%2Fetc%2Fpasswd", "a" * 3000]
)
def test_a_path_that_is_no_artifact(daemon: Daemon, path: str) -> None:
    """The response is 404, and says where the list is."""
    daemon.home.run_log("shop", 1).parent.mkdir(parents=True, exist_ok=True)
    daemon.home.run_log("shop", 1).write_text("secret")
    (daemon.home.run_artifacts("shop", 1) / "out").mkdir(parents=True)
    status, _, content = daemon.get(f"1/artifacts/{path}")
    error = {"error": "run 1 has no such artifact", "hint": "`pipeline artifacts` lists them", "exit_code": 2}
    assert (status, json.loads(content)) == (404, error)


@pytest.mark.parametrize("path", ["7", "7/timeline", "7/artifacts", "7/artifacts/x", "7/log"])
def test_an_unknown_run(daemon: Daemon, path: str) -> None:
    """Each endpoint says so."""
    status, _, content = daemon.get(path)
    assert (status, json.loads(content)["error"]) == (409, "shop has no run 7")


def write_log(daemon: Daemon, *texts: str) -> Path:
    path = daemon.home.run_log("shop", 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        for text in texts:
            file.write(json.dumps({"at": "2026-01-01T12:00:00.000Z", "stage": "test", "text": text}) + "\n")
    return path


def test_the_lines_of_a_log_follow_each_other(daemon: Daemon) -> None:
    """`next` is where the next request goes on: nothing is missing or doubled, also in a line that is written."""
    assert daemon.json("1/log/lines") == {"lines": [], "start": 0, "next": 0}
    path = write_log(daemon, *(f"line {number}" for number in range(10)))
    found = daemon.json("1/log/lines?tail=2")
    assert [line["text"] for line in found["lines"]] == ["line 8", "line 9"]
    assert found["lines"][0] == {
        "at": "2026-01-01T12:00:00.000Z",
        "stage": "test",
        "text": "line 8",
        "end": found["start"] + (found["next"] - found["start"]) // 2,
    }
    with path.open("a") as file:
        file.write('{"at": "2026-01-01T12:00:00.000Z", "stage": "te')
    again = daemon.json(f"1/log/lines?from={found['next']}")
    assert again == {"lines": [], "start": found["next"], "next": found["next"]}
    with path.open("a") as file:
        file.write('st", "text": "line 10"}\n')
    (line,) = daemon.json(f"1/log/lines?from={found['next']}")["lines"]
    assert (line["text"], line["end"]) == ("line 10", path.stat().st_size)
    assert daemon.json("1/log/lines?from=99999999")["lines"] == []


def test_a_long_log_is_read_in_parts(daemon: Daemon) -> None:
    """Each part is bounded. Together they are the log."""
    path = write_log(daemon, *(f"{number} {'x' * 1000}" for number in range(1000)))
    texts, following, parts = list[str](), 0, 0
    while found := daemon.json(f"1/log/lines?from={following}")["lines"]:
        texts += [line["text"].partition(" ")[0] for line in found]
        following, parts = found[-1]["end"], parts + 1
    assert texts == [str(number) for number in range(1000)]
    assert following == path.stat().st_size
    assert parts > 3


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("from=-1", "from: Input should be greater than or equal to 0"),
        ("from=x", "from: Input should be a valid integer, unable to parse string as an integer"),
        ("tail=0", "tail: Input should be greater than or equal to 1"),
        ("offset=1", "unknown parameter 'offset'; "),
    ],
)
def test_a_log_with_a_wrong_query(daemon: Daemon, query: str, message: str) -> None:
    """The answer names the parameter."""
    status, _, content = daemon.get(f"1/log/lines?{query}")
    assert status == 400
    assert json.loads(content)["error"].startswith(message)
    assert daemon.get("7/log/lines")[0] == 409

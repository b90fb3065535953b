"""The control API on its socket: responses keep their keys, and OpenAPI describes them."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import ConfigError
from pipeline.base.home import Home
from pipeline.base.sockets import private_socket
from pipeline.daemon.control import Control
from pipeline.daemon.scheduler import Scheduler
from pipeline.daemon.served_file import ServedFile
from pipeline.daemon.supervisor import PipelineSupervisor
from pipeline.events import Event
from pipeline.http.api import ControlApi
from pipeline.http.client import Client
from pipeline.http.serving import control_config, http_server
from pipeline.store.event_follower import EventFollower
from pipeline.store.records import ApprovalDecision, DeploymentState, Release, Run, RunState, StageRecord, Trigger
from pipeline.store.run_log import RunLogFile
from pipeline.store.store import Store
from pipeline.testing.fakes.clock import FakeClock
from tests.support.reports import reports_of
from tests.support.repository import Work
from tests.support.shop_pipeline import PIPELINE
from tests.support.waiting import DEADLINE, until


@dataclass(frozen=True)
class Daemon:
    """A control API with one pipeline, whose queue has no worker."""

    home: Home
    store: Store
    client: Client

    def raw(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], Any]:
        """Send a request over a new connection. Return the status, the headers and the JSON of the response."""
        with closing(http.client.HTTPConnection("penstock")) as connection:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(str(self.home.daemon_socket))
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        return answer.status, dict(answer.getheaders()), json.loads(content) if content else None


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    work = Work(tmp_path)
    file = work.path / "pipeline.yaml"
    file.write_text(PIPELINE)
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    with Store(home.database) as store:
        clock = FakeClock()
        supervisor = PipelineSupervisor(ServedFile(file, home, store, ()), clock, Scheduler(clock))
        app = ControlApi(reports_of(home, Control({"shop": supervisor}, store))).app()
        with http_server(lambda: control_config(app), private_socket(home.daemon_socket)):
            yield Daemon(home, store, Client(home.daemon_socket))


def keys(record: type[Any]) -> set[str]:
    # Times to measure from are shown as wall times only.
    return {field.name for field in fields(record)} - {"queued", "started", "took"}


def test_the_scan_of_a_requested_run_is_no_trigger_of_its_own(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other commits that the scan finds are shown with the pipeline's own trigger, not as polled."""
    requested = list[Trigger | None]()
    monkeypatch.setattr(PipelineSupervisor, "notify", lambda _, trigger: requested.append(trigger))
    daemon.client.ask("POST", "/v1/pipelines/shop/runs", {})
    assert requested == [None]


def test_a_run_has_the_keys_of_its_record(daemon: Daemon) -> None:
    """A run and its stages have the keys of their records."""
    asked = {"requested": "main", "force": True, "pull": True, "no_cache": True}
    run = daemon.client.ask("POST", "/v1/pipelines/shop/runs", asked)
    assert run.keys() == keys(Run) | {"stages"}
    assert (run["number"], run["state"], run["requested"], run["finished_at"]) == (1, "queued", "main", None)
    assert run["options"] == {
        "configuration": "commit",
        "parameters": {},
        "force": True,
        "pull": True,
        "no_cache": True,
    }
    daemon.store.queue.claim("shop", "superseded")
    daemon.store.queue.enter("shop", 1, "source")
    (shown,) = daemon.client.ask("GET", "/v1/pipelines/shop/runs")
    (stage,) = shown["stages"]
    assert stage.keys() == keys(StageRecord)
    assert (stage["name"], stage["state"], stage["started_at"][-6:]) == ("source", "running", "+00:00")
    assert daemon.client.ask("GET", "/v1/pipelines/shop/runs/1") == {**shown, "tests": None}


def test_an_answered_approval_is_shown(daemon: Daemon) -> None:
    """A decided approval is shown with the person who decided."""
    daemon.client.ask("POST", "/v1/pipelines/shop/runs", {})
    daemon.store.queue.claim("shop", "superseded")
    daemon.store.queue.await_approval("shop", 1)
    answer = {"granted": True, "by": "ann", "comment": "ship it"}
    approval = daemon.client.ask("POST", "/v1/pipelines/shop/runs/1/approval", answer)["approval"]
    assert approval.keys() == keys(ApprovalDecision)
    assert {key: approval[key] for key in answer} == answer


def test_a_deployment_is_answered(daemon: Daemon) -> None:
    """A wait is promoted once, and the deployment aborted. The answers say what follows."""
    place = "/v1/pipelines/shop/deployment"
    with pytest.raises(ConfigError, match="shop has no deployment in progress"):
        daemon.client.ask("POST", f"{place}/promote", {"by": "ann"})
    row = daemon.store.deployments.begin("shop", 1, None, 1)
    answers = daemon.store.deployment_answers
    wait = answers.begin(row.id, "web", "AfterInstall[0]", "the pause in AfterInstall", FakeClock().now())
    effect = daemon.client.ask("POST", f"{place}/promote", {"by": "ann"})
    assert effect == {"effect": "web: the pause in AfterInstall ends, and the deployment continues"}
    assert answers.promoted_by(wait) == "ann"
    effect = daemon.client.ask("POST", f"{place}/abort", {"by": "bob", "comment": "slow"})
    assert effect == {"effect": "run 1 is rolled back to nothing, because no release was active before"}
    found = answers.aborted(row.id)
    assert found is not None
    assert (found.by, found.comment) == ("bob", "slow")


def test_the_pipeline_and_the_daemon(daemon: Daemon) -> None:
    """The responses for the daemon and a pipeline have their keys, and a release has no configuration."""
    assert daemon.client.ask("GET", "/v1")["pipelines"] == ["shop"]
    shown = daemon.client.ask("GET", "/v1/pipelines/shop")
    assert shown.keys() == {"name", "file", "ready", "release", "last_run", "disabled_transitions"}
    assert (shown["release"], shown["last_run"], shown["disabled_transitions"]) == (None, None, {})
    daemon.client.ask("POST", "/v1/pipelines/shop/runs", {})
    daemon.client.ask("PUT", "/v1/pipelines/shop/transitions/deploy", {"reason": "a freeze"})
    release = daemon.store.releases.create(
        "shop", 1, sha="a" * 40, subject="Carts", image_id="sha256:1", image_tag="shop:1", spec="{}"
    )
    deployment = daemon.store.deployments.begin("shop", 1, None, release.number)
    daemon.store.deployments.finish(deployment, DeploymentState.SUCCEEDED)
    shown = daemon.client.ask("GET", "/v1/pipelines/shop")
    assert shown["release"].keys() == keys(Release) - {"spec"}
    assert shown["last_run"]["number"] == 1
    assert shown["disabled_transitions"] == {"deploy": "a freeze"}


def test_idle_followers_read_nothing(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty followers read the database when it changes, and not otherwise. Each gets each event."""
    polls, poll = Counter[int](), EventFollower.poll

    def counted(follower: EventFollower) -> list[tuple[int, Event]]:
        polls[id(follower)] += 1
        return poll(follower)

    monkeypatch.setattr(EventFollower, "poll", counted)
    with ExitStack() as stack:
        streams = []
        for _ in range(50):
            connection = stack.enter_context(closing(socket.socket(socket.AF_UNIX)))
            connection.settimeout(DEADLINE)
            connection.connect(str(daemon.home.daemon_socket))
            connection.sendall(b"GET /v1/events HTTP/1.1\r\nHost: penstock\r\n\r\n")
            streams.append(stack.enter_context(connection.makefile("rb")))
        until(lambda: len(polls) == 50, "all followers")
        for _ in range(5):
            daemon.client.ask("GET", "/v1")
        assert set(polls.values()) == {1}
        daemon.store.events.record(Event("serve.started", "served", "shop"))
        for stream in streams:
            assert next(line for line in stream if line.startswith(b"event: ")) == b"event: serve.started\n"


def test_events_are_followed_to_the_last_one(daemon: Daemon) -> None:
    """A stream has the earlier and the later events of a run, up to the last one."""
    daemon.client.ask("POST", "/v1/pipelines/shop/runs", {})
    daemon.store.events.record(Event("run.started", "run 1 of shop", "shop", 1, {"trigger": "command"}))

    def finish() -> None:
        daemon.store.runs.finish("shop", 1, RunState.SUCCEEDED)
        daemon.store.events.record(Event("run.finished", "run 1: succeeded", "shop", 1, {"took": 1.5, "ok": True}))

    threading.Timer(0.1, finish).start()
    found = list(daemon.client.events("shop", 1))
    assert found == [event for _, event in daemon.store.events.after("shop", 0, run=1)]
    assert [event.kind for event in found] == ["run.queued", "run.started", "run.finished"]
    assert found[-1].fields == {"took": 1.5, "ok": True}


def test_an_event_has_its_keys(daemon: Daemon) -> None:
    """An event has its keys and the id from which its follower continues."""
    daemon.store.events.record(Event("serve.started", "served", "shop"))
    with closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.connect(str(daemon.home.daemon_socket))
        connection.settimeout(DEADLINE)
        connection.sendall(b"GET /v1/events HTTP/1.1\r\nHost: penstock\r\nLast-Event-ID: 0\r\n\r\n")
        lines = connection.makefile("rb")
        line = next(line for line in lines if line.startswith(b"data: "))
        lines.close()
    event = json.loads(line[6:])
    assert event.keys() == keys(Event) | {"id", "severity"}
    assert (event["id"], event["kind"], event["run"], event["fields"]) == (1, "serve.started", None, {})


def test_errors_say_what_to_do(daemon: Daemon) -> None:
    """An error response has a message, a hint and the exit code of the command."""
    with pytest.raises(ConfigError, match="the daemon does not manage blog") as refused:
        daemon.client.ask("GET", "/v1/pipelines/blog")
    assert refused.value.hint == "it manages: shop"
    status, headers, content = daemon.raw("GET", "/v1/pipelines/blog")
    assert (status, headers["content-type"]) == (409, "application/json")
    assert content == {"error": "the daemon does not manage blog", "hint": "it manages: shop", "exit_code": 2}
    status, _, content = daemon.raw("POST", "/v1/pipelines/shop/runs", b'{"kind": 1}')
    assert (status, content["hint"], content["exit_code"]) == (400, None, 2)
    assert content["error"].startswith("kind: ")
    status, headers, _ = daemon.raw("DELETE", "/v1")
    assert (status, set(headers["allow"].split(", "))) == (405, {"GET", "HEAD"})


def test_every_endpoint_is_described(daemon: Daemon) -> None:
    """OpenAPI describes every endpoint, with the models that it accepts and returns."""
    document = daemon.client.ask("GET", "/openapi.json")
    run = document["paths"]["/v1/pipelines/{pipeline}/runs"]
    assert run["post"]["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/SubmitRun"
    }
    assert run["post"]["responses"]["201"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/RunResponse"
    }
    assert run["get"]["responses"]["200"]["content"]["application/json"]["schema"]["type"] == "array"
    schemas = document["components"]["schemas"]
    assert schemas["RunResponse"]["properties"].keys() == keys(Run) | {"stages"}
    assert schemas["RunResponse"]["properties"]["started_at"]["format"] == "date-time"
    text = json.dumps(document)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in schemas


@pytest.mark.parametrize(
    ("method", "path", "body", "headers"),
    [
        ("GET", f"runs/{2**63}", b"", {}),
        *(
            ("GET", f"runs/{number}{rest}", b"", {})
            for number in ("9" * 5000, "-1", "x")
            for rest in ("", "/log", "/events")
        ),
        *(
            ("POST", f"runs/{'9' * 5000}/{verb}", b'{"granted": true, "by": "ann"}', {})
            for verb in ("cancel", "retry", "approval")
        ),
        *(
            ("POST", "runs", f'{{"kind": "rollback", "requested": "{release}"}}'.encode(), {})
            for release in ("0", "00", "-1", "9" * 900, "\u0663", str(2**63), "v1")
        ),
        ("POST", "runs", b'{"force": 9e999}', {}),
        ("POST", "runs", b'{"force": ' + b"9" * 5000 + b"}", {}),
        ("POST", "runs", b'{"parameters": {"a": ' + b"9" * 5000 + b"}}", {}),
        ("GET", "runs?limit=" + "9" * 5000, b"", {}),
        ("POST", f"runs/{10**30}/cancel", b"", {}),
        ("GET", f"runs/{10**30}/log", b"", {}),
        ("GET", "runs/1/events?after=" + "9" * 30, b"", {}),
        ("GET", "runs/1/events", b"", {"Last-Event-ID": "9" * 5000}),
        ("GET", "runs/1/events", b"", {"Last-Event-ID": "next"}),
        ("GET", "runs/1/log?from=" + "9" * 19, b"", {}),
        ("GET", "runs?limit=" + "9" * 19, b"", {}),
        ("POST", "runs", b'{"requested": "a\\u0000b"}', {}),
        ("POST", "runs", b'{"kind": "scale"}', {}),
        ("POST", "runs", b'{"kind": "scale", "requested": "web=0"}', {}),
        ("POST", "runs", b'{"requested": "a\\nrun 2: succeeded"}', {}),
        ("POST", "runs", b'{"requested": "\\u001b]0;owned\\u0007"}', {}),
        ("POST", "runs/1/approval", b'{"granted": true, "by": "ann\\u202e"}', {}),
        ("POST", "deployment/promote", b'{"by": "ann\\u202e"}', {}),
        ("POST", "deployment/abort", b'{"by": "ann", "comment": "a\\u009bb"}', {}),
        ("PUT", "transitions/deploy", b'{"reason": "a\\u009bb"}', {}),
    ],
)
def test_what_no_record_can_hold_is_refused(
    daemon: Daemon, method: str, path: str, body: bytes, headers: dict[str, str]
) -> None:
    """Numbers beyond the database's and text with control characters are the client's mistake, and said so."""
    daemon.client.ask("POST", "/v1/pipelines/shop/runs", {})
    status, _, answer = daemon.raw(method, f"/v1/pipelines/shop/{path}", body, **headers)
    assert 400 <= status < 500
    assert answer["error"]
    assert len(daemon.store.runs.latest("shop", 10)) == 1


def test_a_log_from_beyond_its_end_is_empty(daemon: Daemon) -> None:
    """An offset that no file system can hold yields no line, like any other beyond the end."""
    daemon.client.ask("POST", "/v1/pipelines/shop/runs", {})
    with RunLogFile(daemon.home.run_log("shop", 1), str) as log:
        log.line("build", "one")
    for offset in (10**6, 10**17):
        with closing(http.client.HTTPConnection("penstock")) as connection:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(str(daemon.home.daemon_socket))
            connection.request("GET", f"/v1/pipelines/shop/runs/1/log?from={offset}")
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"")


def test_a_request_has_the_user_who_acts(daemon: Daemon) -> None:
    """A body may name the user. Without one it is `api`."""
    first = daemon.client.ask("POST", "/v1/pipelines/shop/runs", {"by": "anna"})
    second = daemon.client.ask("POST", "/v1/pipelines/shop/runs", {})
    assert [run["by"] for run in (first, second)] == ["anna", "api"]
    assert daemon.client.ask("POST", "/v1/pipelines/shop/runs/1/cancel", {"by": "bob"})["cancelled_by"] == "bob"
    assert daemon.client.ask("POST", "/v1/pipelines/shop/runs/2/cancel")["reason"] == "cancelled by api"
    assert daemon.client.ask("POST", "/v1/pipelines/shop/runs/1/retry", {"by": "carl"})["by"] == "carl"
    place = "/v1/pipelines/shop/transitions/deploy"
    daemon.client.ask("PUT", place, {"reason": "a freeze", "by": "anna"})
    daemon.client.ask("DELETE", place)
    events = daemon.store.events.latest("shop")
    assert [event.fields["by"] for event in events if event.kind.startswith("transition")] == ["anna", "api"]


@pytest.mark.parametrize(
    ("by", "error"),
    [
        ("", "by: String should have at least 1 character"),
        ("a" * 201, "by: String should have at most 200 characters"),
        ("anna\x1b[2J", "by: Value error, must not contain control characters"),
        (None, "by: Input should be a valid string"),
    ],
)
@pytest.mark.parametrize(
    ("method", "place"),
    [("POST", "runs"), ("POST", "runs/1/cancel"), ("POST", "runs/1/retry"), ("DELETE", "transitions/build")],
)
def test_a_user_whom_no_event_can_name(daemon: Daemon, method: str, place: str, by: object, error: str) -> None:
    """The request is refused, and changes nothing."""
    status, _, body = daemon.raw(method, f"/v1/pipelines/shop/{place}", json.dumps({"by": by}).encode())
    assert (status, body["error"]) == (400, error)
    assert daemon.store.runs.latest("shop") == []

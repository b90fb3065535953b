"""Traffic, the access log and events over the control API: filters, pages and mistakes."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.balancer.access import AccessRecord
from pipeline.balancer.haproxy.access_log import LogReader
from pipeline.balancer.model import Declaration, Target
from pipeline.balancer.planes import open_balancer
from pipeline.balancer.registry import Registry
from pipeline.balancer.registry_file import RegistryFile
from pipeline.balancer.telemetry.rendering import as_data
from pipeline.base.home import Home
from pipeline.base.sockets import private_socket
from pipeline.daemon.control import Control
from pipeline.daemon.scheduler import Scheduler
from pipeline.daemon.served_file import ServedFile
from pipeline.daemon.supervisor import PipelineSupervisor
from pipeline.events import Event
from pipeline.http.api import ControlApi
from pipeline.http.serving import control_config, http_server
from pipeline.http.traffic_report import entry_response
from pipeline.store.records import DeploymentState
from pipeline.store.store import Store
from pipeline.testing.fakes.clock import FakeClock
from tests.support.access_log import OWN, TLS, raw
from tests.support.pipeline_yaml import MINIMAL
from tests.support.reports import reports_of
from tests.support.repository import Work
from tests.support.waiting import DEADLINE

# The second in which the requests of `raw` end.
BEGAN = 1_795_522_240
BALANCER = {
    "target_groups": {"web": {"port": 8080}},
    "load_balancers": {"edge": {"listeners": [{"port": 8000, "default_action": {"forward": "web"}}]}},
}
CONNECTION = (
    "tls 1795985348 345 2 324 192.0.2.7:35118 192.0.2.1:443 5 15 TLS_AES_128_GCM_SHA256 TLSv1.3 db.test h2 "
    "3A2D0D3000511E8D 0 shop.edge.443 shop.db"
)


@dataclass(frozen=True)
class Api:
    """A control API of a pipeline, and the log of its balancer."""

    home: Home
    store: Store
    log: Path

    def get(self, path: str) -> tuple[int, Any]:
        """Return status and JSON of a response."""
        with closing(http.client.HTTPConnection("penstock", timeout=DEADLINE)) as connection:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(str(self.home.daemon_socket))
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def mistake(self, path: str) -> str:
        """Return the message of a request that is refused."""
        status, content = self.get(path)
        assert status == 400
        return str(content["error"])


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    home, work = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")}), Work(tmp_path)
    (work.path / "pipeline.yaml").write_text(MINIMAL)
    home.balancer.mkdir(parents=True, exist_ok=True)
    declared = Registry().declare("shop", Declaration.model_validate(BALANCER))
    targets = [Target(id="shop.web-1-1-a", address="10.1.0.3", port=8080)]
    RegistryFile(home.balancer / "registry.json").write(declared.register("shop", "web", targets))
    with Store(home.database) as store:
        clock = FakeClock(wall=datetime.fromtimestamp(BEGAN + 10, UTC))
        supervisor = PipelineSupervisor(
            ServedFile(work.path / "pipeline.yaml", home, store, ()), clock, Scheduler(clock)
        )
        balancer = open_balancer(home.balancer)
        app = ControlApi(reports_of(home, Control({"shop": supervisor}, store), clock)).app()
        with http_server(lambda: control_config(app), private_socket(home.daemon_socket)):
            yield Api(home, store, balancer.access_log().path)


def at(second: int, **changes: str) -> bytes:
    """Return the line of a request that ended in a second after `BEGAN`."""
    return raw(accepted_seconds=str(BEGAN + second), accepted_milliseconds="0", total="100", **changes)


def test_traffic(api: Api) -> None:
    """Steps have rates, errors and times of the pipeline's groups, and the deployments meanwhile are marked."""
    lines = [at(-60), at(2), at(3, status="404", response="80"), at(3, backend="blog.web"), at(7, **OWN, status="503")]
    api.log.write_bytes(b"".join(lines))
    deployment = api.store.deployments.begin("shop", 4, 1, 2, "rolling")
    status, found = api.get("/v1/traffic?pipeline=shop&seconds=10&step=5")
    assert status == 200
    assert [(step["seconds"], step["requests"], step["rate"]) for step in found["steps"]] == [(5, 2, 0.4), (5, 1, 0.2)]
    assert [(step["errors_4xx"], step["errors_5xx"]) for step in found["steps"]] == [(1, 0), (0, 1)]
    assert [(step["p50"], step["p99"]) for step in found["steps"]] == [(0.041, 0.083), (None, None)]
    assert found["steps"][0]["at"] == found["since"] == datetime.fromtimestamp(BEGAN, UTC).isoformat()
    assert (found["groups"], found["deployments"]) == (["blog.web", "shop.web"], [])
    api.store.deployments.finish(deployment, DeploymentState.SUCCEEDED)


def test_deployments_in_the_window(api: Api) -> None:
    """Those that were in progress for some of the time, in their order."""
    begin = datetime.now(UTC)
    first = api.store.deployments.begin("shop", 1, None, 1)
    api.store.deployments.finish(first, DeploymentState.FAILED)
    between = datetime.now(UTC)
    api.store.deployments.begin("shop", 2, None, 2)
    api.store.deployments.begin("blog", 1, None, 1, "canary")
    end = datetime.now(UTC)

    def runs(pipeline: str | None, begin: datetime, end: datetime) -> list[tuple[str, int]]:
        return [(each.pipeline, each.run) for each in api.store.deployments.between(pipeline, begin, end)]

    assert runs(None, begin, end) == [("shop", 1), ("shop", 2), ("blog", 1)]
    assert runs("shop", between, end) == [("shop", 2)]
    assert runs(None, begin - timedelta(1), begin) == []
    assert runs("blog", end, end + timedelta(1)) == [("blog", 1)]
    assert api.store.deployments.between("blog", begin, end)[0].strategy == "canary"


def test_the_access_log(api: Api) -> None:
    """Pages have the entries newest first, with their positions, and filters choose among them."""
    api.log.write_bytes(at(1) + at(2, status="502", method="POST") + at(3, uri="/api/x?y") + at(4, backend="blog.web"))
    _, first = api.get("/v1/access-log?limit=3")
    assert [entry["time"][17:19] for entry in first["entries"]] == ["44", "43", "42"]
    _, second = api.get(f"/v1/access-log?limit=3&before={first['next']}")
    assert ([entry["time"][17:19] for entry in second["entries"]], second["next"]) == (["41"], None)
    assert first["entries"][-1]["position"] == first["next"]

    def chosen(query: str) -> list[str]:
        status, found = api.get(f"/v1/access-log?{query}")
        assert status == 200, found
        return [entry["time"][18] for entry in found["entries"]]

    assert chosen("status=5XX") == chosen("method=post") == ["2"]
    assert chosen("path=/api/*") == ["3"]
    assert chosen("pipeline=blog&group=blog.web") == ["4"]
    assert chosen("target=shop.web-1-1-a&status=400-499,502") == ["2"]
    assert chosen("target=10.1.0.3&slower=39ms&limit=1") == ["4"]


def test_entries_have_the_names_of_the_command() -> None:
    """An entry has ELB's names in ELB's order, and its position after them."""
    for line in (raw(), raw(TLS), raw(OWN), CONNECTION.replace(" ", "\t").encode() + b"\n"):
        (found,) = LogReader().records([line])
        data = entry_response(found, "1-00000000").as_data()
        assert data == {**as_data(found.entry()), "position": "1-00000000"}
        assert list(data)[:-1] == list(as_data(found.entry()))
        assert isinstance(found, AccessRecord) == ("request" in data)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v1/traffic?step=0", "step: Input should be greater than or equal to 1"),
        ("/v1/traffic?seconds=4000", "seconds: Input should be less than or equal to 3600"),
        ("/v1/traffic?secs=3", "unknown parameter 'secs'; did you mean seconds?"),
        (
            "/v1/access-log?status=6XX",
            "status: '6XX' is not a status; write 502, 5XX, 400-499 or a list such as 404,5XX",
        ),
        ("/v1/access-log?path=api", "path: 'api' is not a path; it starts with / or *, such as /api/*"),
        ("/v1/access-log?limit=5000", "limit: Input should be less than or equal to 1000"),
        ("/v1/access-log?status=200&status=300", "status: must be given once"),
        ("/v1/events/list?run=3", "run: requires a pipeline, as in /v1/pipelines/NAME/events/list"),
        ("/v1/events/list?kind=runs", "kind: 'runs' is not a kind of event; did you mean run?"),
        ("/v1/events?after=then", "after: must be a number or `now`, got 'then'"),
        ("/v1/events?severity=bad", "severity: Input should be 'info', 'warning' or 'error'"),
        ("/v1/events?before=3", "unknown parameter 'before'; known: after, kind, severity"),
    ],
)
def test_mistakes(api: Api, path: str, message: str) -> None:
    """A parameter that is unknown or wrong is refused, with what to write."""
    assert api.mistake(path) == message


@pytest.mark.parametrize(
    ("query", "error", "hint"),
    [
        (
            "before=yesterday",
            "before: 'yesterday' is not the position of an entry; take one from the previous page",
            None,
        ),
        (
            "target=shop.web-1-1-b",
            "target: shop.web-1-1-b is not registered; did you mean shop.web-1-1-a?",
            "name a target that is gone by its address, such as 10.1.0.3:8080",
        ),
    ],
)
def test_what_does_not_exist(api: Api, query: str, error: str, hint: str | None) -> None:
    """A target that is not registered and a text that is no position are refused."""
    status, content = api.get(f"/v1/access-log?{query}")
    assert (status, content["error"], content["hint"]) == (409, error, hint)


def test_pages_of_events(api: Api) -> None:
    """Events are listed newest first, by kind, severity and run, and the last page says so."""
    for number in range(5):
        kind = "host.lost" if number % 2 else "run.started"
        api.store.events.record(Event(kind, str(number), "blog" if number == 4 else "shop", number))
    _, first = api.get("/v1/events/list?limit=2")
    assert ([event["message"] for event in first["events"]], first["next"]) == (["4", "3"], 4)
    _, second = api.get(f"/v1/events/list?limit=3&before={first['next']}")
    assert ([event["message"] for event in second["events"]], second["next"]) == (["2", "1", "0"], None)
    _, found = api.get("/v1/pipelines/shop/events/list?kind=host&kind=run.started&severity=warning")
    assert [(event["message"], event["severity"]) for event in found["events"]] == [("3", "warning"), ("1", "warning")]
    _, found = api.get("/v1/pipelines/shop/events/list?run=2")
    assert [event["message"] for event in found["events"]] == ["2"]
    assert api.get("/v1/pipelines/blog/events/list")[0] == 409


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/events?after=now", ["3", "4", "5"]),
        ("/v1/pipelines/shop/events?after=now&kind=host", ["4", "5"]),
        ("/v1/pipelines/shop/events?severity=warning", ["1", "4", "5"]),
    ],
)
def test_streams(api: Api, path: str, expected: list[str]) -> None:
    """A stream starts with the events after an id, or with those to come, and has the wanted ones."""
    for number, kind in enumerate(["run.started", "host.lost", "run.queued"]):
        api.store.events.record(Event(kind, str(number), "shop"))
    with closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.connect(str(api.home.daemon_socket))
        connection.settimeout(DEADLINE)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: penstock\r\n\r\n".encode())
        with connection.makefile("rb") as lines:
            # The headers are sent after the start was chosen.
            assert b"200" in next(lines)
            for number, kind in enumerate(["run.finished", "host.lost", "host.lost"], 3):
                api.store.events.record(Event(kind, str(number), "shop"))
            found = list[str]()
            for line in lines:
                if line.startswith(b"data: "):
                    found.append(json.loads(line[6:])["message"])
                if found and found[-1] == "5":
                    break
    assert found == expected

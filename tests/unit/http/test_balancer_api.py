"""The control API's endpoints for the load balancers, on their socket."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.data_plane import CheckFact
from pipeline.balancer.model import Declaration, Target
from pipeline.base.home import Home
from pipeline.base.sockets import private_socket
from pipeline.daemon.control import Control
from pipeline.http.api import ControlApi
from pipeline.http.live_balancer import LiveBalancer
from pipeline.http.serving import control_config, http_server
from pipeline.store.store import Store
from pipeline.testing.fakes.data_plane import FakePlane
from tests.support.reports import reports_of

DECLARED = {
    "target_groups": {"web": {"port": 80}, "canary": {"port": 80}},
    "load_balancers": {
        "edge": {
            "listeners": [
                {
                    "port": 8080,
                    "rules": [
                        {
                            "priority": 1,
                            "conditions": [
                                {"http_header": {"name": "X-Canary", "values": ["v*"]}},
                                {"http_header": {"name": "X-Team", "values": ["a"]}},
                                {"source_ip": ["192.0.2.0/24"]},
                            ],
                            "action": {"forward": "canary"},
                        }
                    ],
                    "default_action": {"forward": "web"},
                }
            ]
        }
    },
}

Get = Callable[[str], tuple[int, Any]]


@pytest.fixture
def get(tmp_path: Path) -> Iterator[Get]:
    """Return a function that gets a path of the API of a daemon with one target."""
    plane = FakePlane()
    balancer = Balancer(tmp_path / "balancer", plane)
    balancer.apply("shop", Declaration.model_validate(DECLARED))
    plane.answer_checks("web-1", CheckFact("passed", passes=1))
    balancer.register("shop", "web", Target(id="web-1", address="10.1.0.1", port=80))
    plane.run_checks()
    balancer.wait_healthy("shop", "web", timedelta(seconds=5))
    live = LiveBalancer(balancer, dict, dict)

    def ask(path: str) -> tuple[int, Any]:
        with closing(http.client.HTTPConnection("penstock")) as connection:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(str(tmp_path / "socket"))
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    home = Home.locate({"PENSTOCK_HOME": str(tmp_path)})
    with Store(tmp_path / "penstock.db") as store:
        app = ControlApi(reports_of(home, Control({}, store), balancer=live)).app()
        with http_server(lambda: control_config(app), private_socket(tmp_path / "socket")):
            yield ask


def test_the_balancer(get: Get) -> None:
    """Has load balancers, listeners, rules, and targets with their state."""
    status, found = get("/v1/balancer")
    assert status == 200
    (balancer,) = found["load_balancers"]
    assert balancer["listeners"][0]["urls"] == ["http://localhost:8080"]
    assert [rule["matches"] for rule in balancer["listeners"][0]["rules"]] == [
        "header X-Canary: v*, header X-Team: a, source 192.0.2.0/24",
        "all others",
    ]
    assert [one["state"] for one in found["target_groups"]["shop.web"]] == ["healthy"]
    assert get("/v1/balancer?pipeline=other")[1]["load_balancers"] == []


def test_the_way_of_a_request(get: Get) -> None:
    """Depends on its URL, its headers, its method and its source."""
    request = f"/v1/balancer/explain?url={quote('http://x:8080/')}&method=POST"
    status, found = get(request)
    assert (status, found["priority"]) == (200, "default")
    assert found["misses"][0]["reason"] == "http_header requires X-Canary: v*, but there is none"
    headers = f"&header={quote('X-Canary: v1')}&header={quote('X-Team: a')}"
    assert get(f"{request}{headers}&source=192.0.2.9")[1]["priority"] == 1


@pytest.mark.parametrize(
    ("query", "code", "error"),
    [
        ("", 400, "url: Field required"),
        ("?url=", 409, "an empty text is not a valid URL"),
        ("?uri=x", 400, "unknown parameter 'uri'; did you mean url?"),
        ("?url=x", 409, "x is not a valid URL"),
        ("?url=http://x:8080&source=me", 409, "source me: must be an IP address such as 192.0.2.7"),
        ("?url=http://x:8080&header=x", 409, "header x: must have the form 'Name: value'"),
        ("?url=http://x:81", 409, "no listener has port 81"),
    ],
)
def test_mistakes(get: Get, query: str, code: int, error: str) -> None:
    """The error names the part of the query."""
    status, found = get(f"/v1/balancer/explain{query}")
    assert (status, found["error"]) == (code, error)


def test_the_description(get: Get) -> None:
    """OpenAPI has the models of both endpoints, and the parameters of their queries."""
    paths = get("/openapi.json")[1]["paths"]
    models = {
        path: paths[path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for path in ("/v1/balancer", "/v1/balancer/explain")
    }
    assert models == {"/v1/balancer": "BalancerResponse", "/v1/balancer/explain": "ExplanationResponse"}
    parameters = {path: [each["name"] for each in paths[path]["get"]["parameters"]] for path in models}
    assert parameters == {
        "/v1/balancer": ["pipeline"],
        "/v1/balancer/explain": ["url", "method", "header", "source", "endpoint"],
    }

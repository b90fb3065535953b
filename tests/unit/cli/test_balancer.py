"""`pipeline balancer` and its commands, without HAProxy."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.balancer.effective import effective_listeners
from pipeline.balancer.model import Declaration, Target, TargetHealth, TargetState
from pipeline.balancer.nodes import NodeHealth
from pipeline.balancer.overview import Overview
from pipeline.balancer.registry import Registry
from pipeline.balancer.registry_file import RegistryFile
from pipeline.balancer.rule_text import format_action, format_condition
from pipeline.balancer.telemetry.traffic import Traffic
from pipeline.base.clock import Stamp
from pipeline.base.errors import ConfigError
from pipeline.cli import balancer_explain
from pipeline.cli.balancer_tree import draw
from pipeline.cli.console import literal_console, show, table
from pipeline.engine.cluster import ClusterHost, ClusterSpec
from pipeline.engine.host import HostSpec
from pipeline.http.balancer_report import BalancerReport
from pipeline.store.records import DeploymentState
from pipeline.store.store import Store
from tests.support.access_log import raw
from tests.support.command_line import pipeline
from tests.support.waiting import DEADLINE

SHOP = {
    "target_groups": {name: {"port": 80} for name in ("web", "canary", "spare")},
    "load_balancers": {
        "edge": {
            "scheme": "internal",
            "listeners": [
                {
                    "port": 8080,
                    "rules": [
                        {
                            "priority": 5,
                            "conditions": [{"path_pattern": ["/up"]}],
                            "action": {"fixed_response": {"status_code": 204}},
                        },
                        {
                            "priority": 20,
                            "conditions": [
                                {"http_header": {"name": "X-Canary", "values": ["v*"]}},
                                {"source_ip": ["192.0.2.0/24"]},
                            ],
                            "action": {"forward": "canary"},
                        },
                    ],
                    "default_action": {
                        "forward": {
                            "target_groups": [
                                {"target_group": "web", "weight": 3},
                                {"target_group": "canary", "weight": 1},
                            ],
                            "stickiness": {"duration": "1h"},
                        }
                    },
                }
            ],
        }
    },
}
BILLING = {
    "target_groups": {"api": {"port": 80}},
    "load_balancers": {
        "edge": {
            "listeners": [
                {
                    "port": 8080,
                    "rules": [
                        {
                            "priority": 10,
                            "conditions": [{"path_pattern": ["/api/*"]}, {"http_request_method": ["GET", "POST"]}],
                            "action": {"forward": "api"},
                        }
                    ],
                },
                {
                    "port": 9090,
                    "rules": [
                        {
                            "priority": 1,
                            "conditions": [{"host_header": ["*.example.com"]}],
                            "action": {"forward": "api"},
                        }
                    ],
                    "default_action": {"fixed_response": {"status_code": 503}},
                },
            ]
        }
    },
}


def registry() -> Registry:
    declared = Registry().declare("shop", Declaration.model_validate(SHOP))
    return declared.declare("billing", Declaration.model_validate(BILLING))


@pytest.fixture
def balancer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the balancer's directory in a home with the declarations of two owners."""
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path))
    (tmp_path / "balancer").mkdir()
    RegistryFile(tmp_path / "balancer" / "registry.json").write(registry())
    return tmp_path / "balancer"


def health(name: str, state: TargetState = TargetState.HEALTHY, **more: Any) -> TargetHealth:
    address = f"10.1.0.{name[-1]}"
    target = Target(id=name, address=address, port=8080)
    return TargetHealth(target=target, state=state, since=datetime(2026, 11, 24, tzinfo=UTC), **more)


def overview() -> Overview:
    declared = registry()
    return Overview(
        listeners=effective_listeners(declared),
        targets={
            "billing.api": (health("api-1"),),
            "shop.canary": (),
            "shop.spare": (),
            "shop.web": (
                health("web-2", in_flight=3),
                health("web-3", TargetState.UNHEALTHY, reason="Target.Timeout", description="Request timed out"),
            ),
        },
        traffic=Traffic(
            10.0, Counter({("shop.web", "10.1.0.2:8080"): 125}), Counter({("shop.web", "10.1.0.2:8080"): 2})
        ),
    )


def as_data(found: Overview) -> dict[str, Any]:
    """Return what `--json` prints of an overview."""
    return BalancerReport(found, Stamp.from_wall(datetime(2026, 11, 24, tzinfo=UTC))).response().as_data()


def test_tree(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The tree has all rules of a listener in order with weights, and each target once with state and traffic.

    Without a terminal, lines are not wrapped or cut, and have no colours.
    """
    monkeypatch.setenv("COLUMNS", "20")
    show(draw(overview()))
    assert capsys.readouterr().out.splitlines() == [
        "load balancer edge of shop, internal",
        "└── http://localhost:8080",
        "    ├── 5        shop     path /up → returns 204",
        "    ├── 10       billing  path /api/*, method GET or POST → forwards to billing.api",
        "    │   └── billing.api 100 %",
        "    │       └── api-1  healthy    10.1.0.1:8080  0 in flight  0.0/s  0 5XX",
        "    ├── 20       shop     header X-Canary: v*, source 192.0.2.0/24 → forwards to shop.canary",
        "    │   └── shop.canary 100 %",
        "    │       └── no targets",
        "    └── default  shop     all others → forwards to shop.web (75 %), shop.canary (25 %), clients stay for 1h",
        "        ├── shop.web 75 %",
        "        │   ├── web-2  healthy    10.1.0.2:8080  3 in flight  12.5/s  2 5XX",
        "        │   └── web-3  unhealthy  10.1.0.3:8080  0 in flight  0.0/s  0 5XX  Target.Timeout: Request timed out",
        "        └── shop.canary 25 %, as above",
        "load balancer edge of billing, internet-facing",
        "└── http://localhost:9090",
        "    ├── 1        billing  host *.example.com → forwards to billing.api",
        "    │   └── billing.api 100 %, as above",
        "    └── default  billing  all others → returns 503",
        "no listener",
        "└── shop.spare",
        "    └── no targets",
        "",
        "requests per second and 5XX responses: over 10 s",
    ]


def test_a_narrow_view_cuts_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """In a narrow terminal, each node is on one line that ends in an ellipsis."""
    console = literal_console()
    console.width = 30
    console.print(draw(overview()))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 24
    assert lines[2] == "    ├── 5        shop     pat…"


def test_texts_are_literal(capsys: pytest.CaptureFixture[str]) -> None:
    """Text that looks like markup or an emoji is printed literally."""
    show(table([("[red]404[/red] :smile:", "x" * 100), ("1", "")], "code", "text"))
    assert capsys.readouterr().out == (f"CODE{' ' * 20}TEXT\n[red]404[/red] :smile:  {'x' * 100}\n1\n")


def test_light_commands_import_nothing_that_draws() -> None:
    """`status`, `balancer log` and --json start without rich, prometheus_client and PyJWT."""
    modules = ("cli.status", "cli.balancer", "cli.balancer_log", "balancer.overview")
    code = (
        f"import sys, {', '.join(f'pipeline.{name}' for name in modules)}\n"
        "print({'rich', 'prometheus_client', 'jwt'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_host_of_a_target(capsys: pytest.CaptureFixture[str]) -> None:
    """It is at the end of the target's line, if it is known."""
    show(draw(overview(), {"web-2": "app1"}))
    lines = capsys.readouterr().out.splitlines()
    assert [line.endswith("  on app1") for line in lines if "web-2" in line or "web-3" in line] == [True, False]


def test_hosts_are_those_of_the_database(balancer: Path) -> None:
    """A target is known by the address of its host. No database is made, and a damaged one does not matter."""
    database = balancer.parent / "penstock.db"
    targets = [Target(id=f"shop.web.r1.{name}", address=f"10.1.0.{name}", port=8080) for name in "12"]
    RegistryFile(balancer / "registry.json").write(registry().register("shop", "web", targets))
    assert json.loads(pipeline("balancer", "--json").stdout)["hosts"] == {}
    assert not database.exists()
    cluster = ClusterSpec(hosts=(ClusterHost(HostSpec("app1", "ssh://app1", address="10.1.0.1")),))
    with Store(database) as store:
        store.deployments.finish(
            store.deployments.begin("shop", 1, None, 1, cluster=cluster), DeploymentState.SUCCEEDED
        )
        store.clusters.forget("shop", "local")
    assert json.loads(pipeline("balancer", "--json").stdout)["hosts"] == {"shop.web.r1.1": "app1"}
    database.write_bytes(b"nonsense" * 1000)
    assert json.loads(pipeline("balancer", "--json").stdout)["hosts"] == {}


def test_overview_as_data() -> None:
    """`--json` prints the same overview as data."""
    data = json.loads(json.dumps(as_data(overview())))
    assert [(b["owner"], b["name"]) for b in data["load_balancers"]] == [("shop", "edge"), ("billing", "edge")]
    rules = data["load_balancers"][0]["listeners"][0]["rules"]
    assert [(rule["priority"], rule["owner"]) for rule in rules] == [
        (5, "shop"),
        (10, "billing"),
        (20, "shop"),
        ("default", "shop"),
    ]
    assert [(each["target_group"], each["share"]) for each in rules[-1]["target_groups"]] == [
        ("shop.web", 75.0),
        ("shop.canary", 25.0),
    ]
    web = data["target_groups"]["shop.web"][0]
    assert (web["state"], web["in_flight"], web["requests_per_second"], web["errors_5xx"]) == ("healthy", 3, 12.5, 2)


def test_a_group_that_is_scaled_to_zero(capsys: pytest.CaptureFixture[str]) -> None:
    """Is shown as such, with the requests that wait. One that merely has no targets is not."""
    found = replace(overview(), held={"shop.canary": 2, "shop.web": 0})
    show(draw(found))
    printed = capsys.readouterr().out
    assert "scaled to zero: 2 requests wait for a first target" in printed
    assert printed.count("scaled to zero") == 1
    assert "no targets" in printed
    assert as_data(found)["held"] == {"shop.canary": 2, "shop.web": 0}


NETWORK: dict[str, Any] = {
    "target_groups": {"db": {"protocol": "TCP", "port": 5432}},
    "load_balancers": {
        "data": {
            "type": "network",
            "listeners": [{"protocol": "TCP", "port": 5432, "default_action": {"forward": "db"}}],
        }
    },
}


def network_overview() -> Overview:
    declared = Registry().declare("shop", Declaration.model_validate(NETWORK))
    return Overview(
        listeners=effective_listeners(declared),
        targets={"shop.db": (health("db-1", in_flight=3),)},
        traffic=Traffic(10.0),
        of_connections=frozenset({"shop.db"}),
    )


def test_tree_of_a_network_load_balancer(capsys: pytest.CaptureFixture[str]) -> None:
    """A network load balancer is named as such, and its targets have connections instead of requests."""
    show(draw(network_overview()))
    assert capsys.readouterr().out.splitlines()[:5] == [
        "network load balancer data of shop, internet-facing",
        "└── tcp://localhost:5432",
        "    └── default  shop  all others → forwards to shop.db",
        "        └── shop.db 100 %",
        "            └── db-1  healthy    10.1.0.1:8080  3 connections",
    ]


def zoned_overview() -> Overview:
    zones = {"zone-a": "127.0.0.2", "zone-b": "127.0.0.3"}
    data = {**NETWORK["load_balancers"]["data"], "zones": zones}
    declared = Registry().declare("shop", Declaration.model_validate({**NETWORK, "load_balancers": {"data": data}}))
    nodes = {
        "zone-a": NodeHealth(True),
        "zone-b": NodeHealth(False, "target group db has 0 healthy of 1 needed targets"),
    }
    one = health("db-1", in_flight=3)
    return Overview(
        listeners=effective_listeners(declared),
        targets={"shop.db": (one.model_copy(update={"target": one.target.model_copy(update={"zone": "zone-a"})}),)},
        traffic=Traffic(10.0),
        of_connections=frozenset({"shop.db"}),
        nodes={("shop", "data"): nodes},
    )


def test_tree_of_zones(capsys: pytest.CaptureFixture[str]) -> None:
    """Each node has its address, its health and the reason. Targets have their zone."""
    show(draw(zoned_overview()))
    assert capsys.readouterr().out.splitlines()[:7] == [
        "network load balancer data of shop, internet-facing",
        "├── zone-a  127.0.0.2  healthy",
        "├── zone-b  127.0.0.3  unhealthy  target group db has 0 healthy of 1 needed targets",
        "└── tcp://127.0.0.2:5432, tcp://127.0.0.3:5432",
        "    └── default  shop  all others → forwards to shop.db",
        "        └── shop.db 100 %",
        "            └── db-1  healthy    10.1.0.1:8080  3 connections  zone-a",
    ]


def test_zones_as_data() -> None:
    """`--json` has the nodes of each load balancer and the zone of each target, and no nodes without zones."""
    data = json.loads(json.dumps(as_data(zoned_overview())))
    assert data["load_balancers"][0]["zones"] == [
        {"zone": "zone-a", "address": "127.0.0.2", "healthy": True, "reason": ""},
        {
            "zone": "zone-b",
            "address": "127.0.0.3",
            "healthy": False,
            "reason": "target group db has 0 healthy of 1 needed targets",
        },
    ]
    assert data["target_groups"]["shop.db"][0]["target"]["zone"] == "zone-a"
    assert [one["zones"] for one in as_data(overview())["load_balancers"]] == [[], []]


def test_network_overview_as_data() -> None:
    """`--json` names the type, and tells nothing of requests where there are none."""
    data = json.loads(json.dumps(as_data(network_overview())))
    (balancer,) = data["load_balancers"]
    assert (balancer["type"], balancer["listeners"][0]["protocol"]) == ("network", "TCP")
    (target,) = data["target_groups"]["shop.db"]
    assert target["in_flight"] == 3
    assert target["requests_per_second"] is None


@pytest.mark.parametrize(("more", "expected"), [((), "nothing is declared\n"), (("--json",), None)])
def test_nothing_is_declared(
    more: tuple[str, ...], expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without declarations, the command succeeds and starts nothing."""
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path))
    done = pipeline("balancer", *more)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == expected if expected else json.loads(done.stdout)["load_balancers"] == []
    assert not (tmp_path / "balancer" / "haproxy.pid").exists()


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ({"forward": "web"}, "forwards to shop.web"),
        (
            {
                "forward": [
                    {"target_group": "a", "weight": 2},
                    {"target_group": "b"},
                    {"target_group": "c", "weight": 0},
                ]
            },
            "forwards to shop.a (66.7 %), shop.b (33.3 %), shop.c (0 %)",
        ),
        (
            {
                "forward": [
                    {"target_group": "a", "alternate": {"target_group": "b", "share": 12.5, "sticky_for": "1h"}},
                    "c",
                ]
            },
            "forwards to shop.a (43.8 %), shop.b (6.2 %), shop.c (50 %), clients stay for 1h",
        ),
        (
            {"redirect": {"protocol": "HTTPS", "port": 443, "query": "", "status_code": "HTTP_302"}},
            "redirects to https://#{host}:443/#{path} (302)",
        ),
        ({"fixed_response": {"status_code": 404}}, "returns 404"),
    ],
)
def test_actions_in_words(action: dict[str, Any], expected: str) -> None:
    """An action is one line, and its shares add up to 100 %."""
    declared = Declaration.model_validate(
        {
            "target_groups": {name: {"port": 80} for name in ("web", "a", "b", "c")},
            "load_balancers": {"edge": {"listeners": [{"port": 1, "default_action": action}]}},
        }
    )
    default = declared.load_balancers["edge"].listeners[0].default_action
    assert default is not None
    assert format_action("shop", default) == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"host_header": ["a.test", "*.b.test"]}, "host a.test or *.b.test"),
        ({"path_pattern": {"regex_values": ["^/v[0-9]+"]}}, "path /^/v[0-9]+/"),
        ({"query_string": [{"key": "v", "value": "2*"}, "any"]}, "query v=2* or any"),
    ],
)
def test_conditions_in_words(condition: dict[str, Any], expected: str) -> None:
    """A condition is one line."""
    rule = {"priority": 1, "conditions": [condition], "action": {"forward": "web"}}
    declared = Declaration.model_validate(
        {
            "target_groups": {"web": {"port": 80}},
            "load_balancers": {"edge": {"listeners": [{"port": 1, "rules": [rule]}]}},
        }
    )
    (found,) = declared.load_balancers["edge"].listeners[0].rules[0].conditions
    assert format_condition(found) == expected


def test_explain(balancer: Path) -> None:
    """`explain` prints the matching rule, its owner and its target, and why each earlier rule does not match."""
    done = pipeline("balancer", "explain", "http://x:8080/api/1?q", "-X", "DELETE", "-H", "x-canary: V2")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "http://localhost:8080, load balancer edge of shop",
        "PRIORITY  OWNER    RULE",
        "5         shop     no: path_pattern requires /up, but the path is /api/1",
        "10        billing  no: http_request_method requires GET or POST, but it is DELETE",
        "20        shop     no: source_ip requires 192.0.2.0/24, but the client is 127.0.0.1",
        "default   shop     matches: forwards to shop.web (75 %), shop.canary (25 %), clients stay for 1h",
    ]


def test_explain_a_request_that_is_held(balancer: Path) -> None:
    """Of a group that is scaled to zero. With a target, it goes there as any other one."""
    groups = {"api": {"port": 80, "hold_time": "90s"}}
    declared = registry().declare("billing", Declaration.model_validate({**BILLING, "target_groups": groups}))
    file = RegistryFile(balancer / "registry.json")
    file.write(declared)
    arguments = ("balancer", "explain", "http://api.example.com:9090")
    *_, last = pipeline(*arguments).stdout.splitlines()
    assert last == "billing.api is scaled to zero: the request waits for its first target, for at most 90s"
    assert json.loads(pipeline(*arguments, "--json").stdout)["held"] == ["billing.api"]
    assert json.loads(pipeline("balancer", "explain", "--json", "http://x:8080/").stdout)["held"] == []


@pytest.mark.parametrize(
    ("arguments", "priority", "owner", "groups"),
    [
        (["http://x:8080/up"], 5, "shop", []),
        (["http://x:8080/api/1"], 10, "billing", [("billing.api", 100)]),
        (["http://x:8080", "-H", "X-Canary: v1", "--source", "192.0.2.9"], 20, "shop", [("shop.canary", 100)]),
        (["http://x:8080/"], "default", "shop", [("shop.web", 75), ("shop.canary", 25)]),
        (["http://api.example.com:9090"], 1, "billing", [("billing.api", 100)]),
        (["http://x:9090", "-H", "Host: api.example.com"], 1, "billing", [("billing.api", 100)]),
        (["http://x:9090"], "default", "billing", []),
    ],
)
def test_explain_as_data(
    arguments: list[str], priority: object, owner: str | None, groups: list[tuple[str, float]], balancer: Path
) -> None:
    """Rules match by path, header, source and host, and a Host header overrides the URL's host."""
    done = pipeline("balancer", "explain", "--json", *arguments)
    data = json.loads(done.stdout)
    assert (data["priority"], data["owner"]) == (priority, owner)
    assert [(group["target_group"], group["share"]) for group in data["target_groups"]] == groups


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["http://x"],
            "error: no listener has port 80\nhint: declared: http://localhost:8080, load balancer edge of shop; "
            "http://localhost:9090, load balancer edge of billing\n",
        ),
        (
            ["https://x:8080"],
            "error: the listener on port 8080 does not accept https\n"
            "hint: declared: http://localhost:8080, load balancer edge of shop\n",
        ),
        (
            ["x:8080/up"],
            "error: x:8080/up is not a valid URL\nhint: http://shop.example.com:8080/path?key=value\n",
        ),
        (
            ["http://x:99999"],
            "error: http://x:99999 is not a valid URL\nhint: http://shop.example.com:8080/path?key=value\n",
        ),
        (["http://x:8080", "-H", "x"], "error: header x: must have the form 'Name: value'\n"),
        (["http://x:8080", "--source", "me"], "error: source me: must be an IP address such as 192.0.2.7\n"),
    ],
)
def test_explain_mistakes(arguments: list[str], expected: str, balancer: Path) -> None:
    """Every usage error states the rule and has a hint."""
    done = pipeline("balancer", "explain", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        (
            "http://x:5432",
            "port 5432 is of a network load balancer, which has no rules\n"
            "hint: pipeline balancer explain tcp://x:5432\n",
        ),
        (
            "localhost:5433",
            "no network load balancer accepts TCP at localhost:5433\n"
            "hint: declared: tcp://localhost:5432, load balancer data of data\n",
        ),
        (
            "tls://localhost:5432",
            "no network load balancer accepts TLS at localhost:5432\n"
            "hint: declared: tcp://localhost:5432, load balancer data of data\n",
        ),
        ("tcp://localhost", "tcp://localhost is not a valid URL\nhint: http://shop.example.com:8080/path?key=value\n"),
    ],
)
def test_explain_mistakes_of_connections(url: str, error: str, balancer: Path) -> None:
    """A network load balancer has no rules, and connections need a listener at their address."""
    RegistryFile(balancer / "registry.json").write(registry().declare("data", Declaration.model_validate(NETWORK)))
    done = pipeline("balancer", "explain", url)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {error}"


def test_log(balancer: Path) -> None:
    """The latest requests are printed, newest last, and damaged lines are counted."""
    lines = [raw(uri=f"/{n}") for n in range(5)]
    (balancer / "access.log").write_bytes(b"".join([*lines[:4], b"torn\tline\n", lines[4]]))
    done = pipeline("balancer", "log", "-n", "3")
    assert re.findall(r":8080/(\d) HTTP", done.stdout) == ["2", "3", "4"]
    assert done.stderr == "damaged lines skipped: 1\n"
    data = [json.loads(line) for line in pipeline("balancer", "log", "-n", "2", "--json").stdout.splitlines()]
    assert [entry["target_group_arn"] for entry in data] == ["shop.web", "shop.web"]


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "pipeline.cli.main", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1) as process:
        try:
            yield process
        finally:
            process.kill()


def next_line(stream: Any) -> str:
    """Return the next line within ten seconds. Waiting per line detects output that stays in a buffer."""
    ready, _, _ = select.select([stream], [], [], 10)
    assert ready, "nothing came"
    return str(stream.readline())


def test_explain_ends(balancer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An expression that takes for ever although its estimate is short ends in an error."""
    assert balancer.exists()
    monkeypatch.setattr("pipeline.balancer.matching.safe_length", lambda _: None)
    monkeypatch.setattr("pipeline.balancer.matching.Wildcard.matches", lambda *_: re.search("(a+)+b", "a" * 60))
    monkeypatch.setattr("pipeline.cli.balancer_explain.TIMEOUT", 0.1)
    done = CliRunner().invoke(balancer_explain.command, ["http://x:8080/api/1"])
    assert isinstance(done.exception, ConfigError)
    assert done.exception.message == "the rules on port 8080 cannot be evaluated for this request within 0.1 s"


def test_log_follows(balancer: Path) -> None:
    """`--follow` continues with new requests after the file is truncated, and Ctrl-C exits silently."""
    log = balancer / "access.log"
    log.write_bytes(raw(uri="/old") + raw(uri="/latest"))
    with running("balancer", "log", "-f", "-n", "1") as process:
        assert "/latest " in next_line(process.stdout)
        with log.open("ab") as file:
            file.write(raw(uri="/new"))
        assert "/new " in next_line(process.stdout)
        (balancer / "access.log.1").write_bytes(log.read_bytes())
        os.truncate(log, 0)
        with log.open("ab") as file:
            file.write(raw(uri="/after"))
        assert "/after " in next_line(process.stdout)
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_watch(balancer: Path) -> None:
    """`--watch` refreshes each second, and Ctrl-C exits silently."""
    (balancer / "registry.json").unlink()
    with running("balancer", "--watch", "--json") as process:
        first, second = (json.loads(next_line(process.stdout)) for _ in range(2))
        assert first["seconds"] == pytest.approx(10, abs=1)
        assert 0.9 < second["seconds"] < 10
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_metrics_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `--listen`, the metrics are printed once."""
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path))
    (tmp_path / "balancer").mkdir()
    (tmp_path / "balancer" / "access.log").write_bytes(raw() * 2)
    done = pipeline("balancer", "metrics")
    assert done.returncode == 0
    sample = 'aws_applicationelb_request_count_total{load_balancer="app/edge/shop",target_group="shop.web"} 2.0\n'
    assert sample in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_metrics_served(number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--listen` serves current metrics on loopback at /metrics only, until SIGTERM."""
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path))
    (tmp_path / "balancer").mkdir()
    log = tmp_path / "balancer" / "access.log"
    log.write_bytes(raw())
    with running("balancer", "metrics", "--listen", "0") as process:
        found = re.fullmatch(r"metrics at (http://127\.0\.0\.1:\d+)/metrics\n", next_line(process.stderr))
        assert found is not None
        with urllib.request.urlopen(f"{found[1]}/metrics", timeout=DEADLINE) as answer:
            assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert re.search(rb"_request_count_total\{.*\} 1\.0\n", answer.read())
        with log.open("ab") as file:
            file.write(raw())
        with urllib.request.urlopen(f"{found[1]}/metrics", timeout=DEADLINE) as answer:
            assert re.search(rb"_request_count_total\{.*\} 2\.0\n", answer.read())
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            urllib.request.urlopen(f"{found[1]}/", timeout=DEADLINE)
        refused.value.close()
        process.send_signal(number)
        assert process.wait(DEADLINE) == 0


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("here", "error: --listen here: must be a port or an address: 9101, 127.0.0.1:9101 or [::1]:9101\n"),
        (
            "127.0.0.1:99999",
            "error: --listen 127.0.0.1:99999: must be a port or an address: 9101, 127.0.0.1:9101 or [::1]:9101\n",
        ),
        ("192.0.2.1:0", "error: --listen 192.0.2.1:0: Cannot assign requested address\n"),
    ],
)
def test_metrics_mistakes(place: str, expected: str, balancer: Path) -> None:
    """Every usage error states the rule and has an example."""
    done = pipeline("balancer", "metrics", "--listen", place)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)


def test_help_names_its_commands() -> None:
    """The help lists every subcommand with a line."""
    done = pipeline("balancer", "--help")
    assert all(f"  {name} " in done.stdout for name in ("log", "metrics", "explain"))

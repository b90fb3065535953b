"""`pipeline balancer log` with filters, `pipeline balancer traffic` and `pipeline events` with filters."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.base.errors import ConfigError
from pipeline.cli import balancer_log, balancer_traffic, events
from pipeline.events import Event
from pipeline.store.store import Store
from tests.support.access_log import OWN, raw
from tests.support.pipeline_yaml import MINIMAL


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the access log of a home, and change to a folder with a pipeline.yaml."""
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline.yaml").write_text(MINIMAL)
    (tmp_path / "home" / "balancer").mkdir(parents=True)
    return tmp_path / "home" / "balancer" / "access.log"


def run(command: object, *arguments: str) -> str:
    """Return the output of a command that succeeds."""
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)  # type: ignore[arg-type]
    assert done.exit_code == 0, done.output
    return done.output


def test_filters_of_the_log(log: Path) -> None:
    """Only entries that pass are printed, as many as wanted, newest last."""
    requests = [("/a", "200"), ("/b", "502"), ("/a/b", "502"), ("/c", "503")]
    log.write_bytes(b"".join(raw(uri=uri, status=status) for uri, status in requests))
    options = ("--json", "--status", "5XX", "-n", "2")
    found = [json.loads(line) for line in run(balancer_log.command, *options).splitlines()]
    assert [entry["request"].split("/")[3:] for entry in found] == [["a", "b HTTP", "1.1"], ["c HTTP", "1.1"]]
    older = run(balancer_log.command, *options, "--before", found[0]["position"])
    assert [json.loads(line)["elb_status_code"] for line in older.splitlines()] == [502]
    assert run(balancer_log.command, "--path", "/a*", "-n", "1").count("/a/b") == 1
    assert run(balancer_log.command, "--method", "PUT") == ""
    assert run(balancer_log.command, "-n", "0") == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--status", "x"), "--status: 'x' is not a status; write 502, 5XX, 400-499 or a list such as 404,5XX"),
        (("--slower", "a bit"), "--slower: 'a bit' is not a time; write seconds such as 0.5, or 500ms"),
        (("--before", "1"), "--before: '1' is not the position of an entry; take one from the previous page"),
        (("--before", "1-00000000", "-f"), "--before and --follow exclude each other"),
        (("--target", "web"), "target: web is not registered"),
    ],
)
def test_mistakes_of_the_log(log: Path, arguments: tuple[str, ...], message: str) -> None:
    """A wrong option is named, with what to write."""
    log.write_bytes(raw())
    with pytest.raises(ConfigError) as refused:
        run(balancer_log.command, *arguments)
    assert refused.value.message == message


def test_traffic(log: Path) -> None:
    """The command prints the steps of the last minutes, and the deployments meanwhile."""
    now = int(datetime.now(UTC).timestamp())
    times = [{"accepted_seconds": str(now - ago), "total": "0", "handshake": "0", "idle": "0"} for ago in (400, 40, 40)]
    log.write_bytes(raw(times[0]) + raw(times[1]) + raw({**OWN, **times[2], "status": "404", "backend": "shop.web"}))
    with Store(log.parent.parent / "penstock.db") as store:
        store.deployments.begin("shop", 7, 1, 2)
    found = json.loads(run(balancer_traffic.command, "--json", "--pipeline", "shop"))
    assert sum(step["requests"] for step in found["steps"]) == 2
    assert [mark["run"] for mark in found["deployments"]] == [7]
    head, *rows, deployment = run(balancer_traffic.command, "--step", "300").splitlines()
    assert head.split() == ["BEGIN", "REQUESTS/S", "4XX", "5XX", "P50", "P99"]
    assert "41 ms" in "".join(rows)
    assert deployment.endswith("deployment of release 2 of shop, run 7: running")


def test_traffic_of_a_log_that_was_emptied(log: Path) -> None:
    """Without a time of which all requests are known, there is no table."""
    log.with_name("access.log.1").touch()
    assert run(balancer_traffic.command) == "the access log has no requests yet\n"


def test_traffic_of_a_home_without_a_log(log: Path) -> None:
    """Says where the log will be, instead of a table of zeros."""
    assert run(balancer_traffic.command) == f"no access log yet; the first load balancer creates {log}\n"


def test_traffic_of_an_unknown_group(log: Path) -> None:
    """Is refused. A group that is gone and had requests is not."""
    log.write_bytes(raw(accepted_seconds=str(int(datetime.now(UTC).timestamp()) - 40), backend="shop.old"))
    assert "BEGIN" in run(balancer_traffic.command, "--group", "shop.old")
    with pytest.raises(ConfigError) as refused:
        run(balancer_traffic.command, "--group", "shop.odl")
    assert refused.value.message == "target group shop.odl is not declared"
    assert refused.value.hint == "did you mean shop.old?; declared: shop.old"


def test_filters_of_events(log: Path) -> None:
    """Events are chosen by kind and severity, and `--before` continues with older ones."""
    with Store(log.parent.parent / "penstock.db") as store:
        for number, kind in enumerate(["host.lost", "host.returned", "job.failed", "host.lost"]):
            store.events.record(Event(kind, f"event {number}", "shop", None, {"host": "a"}))
        store.events.record(Event("host.lost", "of blog", "blog"))
    found = [
        json.loads(line) for line in run(events.command, "--json", "--severity", "warning", "-n", "2").splitlines()
    ]
    assert [(line["message"], line["severity"], line["host"]) for line in found] == [
        ("event 2", "error", "a"),
        ("event 3", "warning", "a"),
    ]
    older = run(events.command, "--severity", "warning", "--before", str(found[0]["id"]))
    assert [line.split("  ")[1] for line in older.splitlines()] == ["event 0"]
    assert run(events.command, "--kind", "job", "--kind", "host.returned").count("event") == 2
    with pytest.raises(ConfigError, match="--kind: 'hosts' is not a kind of event"):
        run(events.command, "--kind", "hosts")


def test_events_have_no_field_of_the_same_name() -> None:
    """No kind has a field that `--json` uses for the event itself."""
    from pipeline.event_kinds import EventKind

    assert not {field for kind in EventKind for field in kind.fields} & {"id", "severity", "at", "kind", "message"}

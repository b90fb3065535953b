"""`pipeline scaling` and its commands `status`, `suspend` and `resume`, and what `pipeline status` says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.balancer.balancer import Balancer
from pipeline.base.errors import ConfigError
from pipeline.base.home import Home
from pipeline.cli.program import cli
from pipeline.http.metrics import DaemonMetrics
from pipeline.store.store import Store
from pipeline.testing.fakes.data_plane import FakePlane
from tests.support.scaled_service import NAME, ScaledService, policy_text

TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScaledService]:
    """A service of two replicas, whose pipeline.yaml is in the current directory."""
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.chdir(tmp_path)
    home = Home.locate()
    with Store(home.database) as store:
        service = ScaledService(tmp_path, store, home)
        service.deploy(2)
        yield service


def run(*words: str) -> str:
    """Return the output of the command, with the times as TIME. An error of Penstock is raised."""
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return TIME.sub("TIME", done.output)


def failed(*words: str) -> tuple[str, str | None]:
    """Return the message of the command's error, and its hint."""
    with pytest.raises(ConfigError) as raised:
        run(*words)
    return raised.value.message, raised.value.hint


def test_a_service_without_scaling(service: ScaledService) -> None:
    """There is nothing to show or to suspend."""
    assert run("scaling") == "shop has no scaled service: add `scaling` to it in pipeline.yaml and deploy that\n"
    assert json.loads(run("scaling", "status", "--json")) == []
    error = ("shop has no scaled service", "add `scaling` to a service in pipeline.yaml and deploy that")
    assert failed("scaling", "suspend") == error
    assert failed("scaling", "resume", "web") == error


def test_policy_metrics_and_changes_are_shown(service: ScaledService) -> None:
    """The wanted number, its bounds and the reason. Before the first decision, there is none."""
    service.deploy(2, policy_text(min=2, target={"requests_per_target": 100, "response_time_p90": "300ms"}))
    assert run("scaling").splitlines()[:2] == [
        "SERVICE  WANTED  MIN  MAX  STATE   REASON",
        "web      2       2    10   active  no decision yet; `pipeline serve` makes them",
    ]
    service.requests = 550
    service.tick(2)
    service.store.events.flush()
    assert run("scaling", "status").splitlines() == [
        "SERVICE  WANTED  MIN  MAX  STATE   REASON",
        "web      6       2    10   active  requests_per_target: 550 in total, target 100 for each replica (TIME)",
        "",
        "SERVICE  METRIC               TARGET  LAST",
        "web      requests_per_target  100     275",
        "web      response_time_p90    300ms   -",
        "",
        "AT                   CHANGE",
        "TIME  web: 2 → 6 replicas: requests_per_target: 550 in total, target 100 for each replica",
    ]


def test_json_has_the_policy_and_the_decision(service: ScaledService) -> None:
    """With all numbers."""
    service.deploy(2, policy_text())
    service.requests = 550
    service.tick(2)
    (found,) = json.loads(run("scaling", "status", "--json"))
    assert (found["service"], found["wanted"], found["min"], found["max"]) == ("web", 6, 1, 10)
    assert found["policy"]["target"] == {"requests_per_target": 100.0}
    assert (found["decision"]["count"], found["decision"]["requests"], found["decision"]["serving"]) == (6, 550, 2)
    assert found["suspended_at"] is None
    assert json.loads(run("status", "--json"))["scaling"] == [found]


def test_scaling_is_suspended_and_resumed(service: ScaledService) -> None:
    """Each is said once, stored as an event, and shown."""
    service.deploy(2, policy_text())
    assert run("scaling", "suspend") == "scaling of web suspended (by anna)\n"
    assert run("scaling", "suspend", "web") == "scaling of web is suspended already\n"
    assert "suspended  since TIME" in run("scaling")
    assert "scaling web: 2 wanted, 1 to 10; suspended since" in run("status")
    assert run("scaling", "resume", "web") == "scaling of web resumed (by anna)\n"
    assert run("scaling", "resume") == "scaling of web is not suspended\n"
    kinds = [event.kind for event in service.store.events.latest(NAME) if event.kind.startswith("scaling.")]
    assert kinds == ["scaling.suspended", "scaling.resumed"]
    assert failed("scaling", "suspend", "wbe") == ("shop has no scaled service wbe", "did you mean web?")
    assert failed("scaling", "suspend", "worker")[1] == "known: web"


def test_status_has_the_bounds_and_the_reason(service: ScaledService) -> None:
    """And says that only the daemon changes the number."""
    service.deploy(2, policy_text())
    assert "scaling web: 2 wanted, 1 to 10; no decision yet; only `pipeline serve` changes the number" in run("status")
    service.requests = 550
    service.tick(2)
    text = "requests_per_target: 550 in total, target 100 for each replica; only `pipeline serve` changes the number"
    assert f": {text}" in run("status")


def test_metrics_have_the_bounds(service: ScaledService, tmp_path: Path) -> None:
    """Also of a suspended service. A service that is scaled no more is left out."""
    service.deploy(2, policy_text(min=2))
    metrics = DaemonMetrics(service.store, [NAME], Balancer(tmp_path / "balancer", FakePlane()))
    labels = '{pipeline="shop",service="web"}'
    assert f"penstock_scaling_min_replicas{labels} 2.0" in metrics.text()
    assert f"penstock_scaling_max_replicas{labels} 10.0" in metrics.text()
    assert f"penstock_scaling_suspended{labels} 0.0" in metrics.text()
    assert f"penstock_replicas_wanted{labels} 2.0" in metrics.text()
    service.store.scaling.suspend(NAME, "web")
    assert f"penstock_scaling_suspended{labels} 1.0" in metrics.text()
    row, count = service.begin()
    service.store.deployments.finish(row, row.state.SUCCEEDED, wanted={"web": count}, scaling={})
    assert "penstock_scaling" not in metrics.text()


def test_status_of_a_service_at_zero(service: ScaledService) -> None:
    """It is no drift, and says what a request needs."""
    service.deploy(2, policy_text(min=0, idle_time="15s"))
    service.tick(3)
    status = run("status")
    assert "scaling web: scaled to zero, 0 to 10; decided" in status
    assert "no requests for 15s; only `pipeline serve` starts a container at the first request" in status
    assert "web" in run("scaling")

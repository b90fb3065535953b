"""Services, auto scaling and hosts over the control API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.balancer.model import Target, TargetHealth, TargetState
from pipeline.base.clock import Stamp
from pipeline.base.errors import ConfigError
from pipeline.engine import hosts
from pipeline.engine.cluster import ClusterHost, ClusterSpec
from pipeline.engine.container import Container, ContainerHealth
from pipeline.engine.host import HostSpec
from pipeline.engine.interfaces import Engine
from pipeline.engine.labels import LABEL_RELEASE, LABEL_ROLE, LABEL_SERVICE, ROLE_APP
from pipeline.engine.open_cluster import OpenCluster
from pipeline.http.service_report import ServiceReport
from pipeline.store.records import DeploymentState
from pipeline.testing.fakes.engine import FakeEngine
from pipeline.testing.fakes.runtime import FakeRuntime
from tests.support.api_daemon import ApiDaemon, api_daemon
from tests.support.scaled_service import policy_text
from tests.support.shop_pipeline import PIPELINE

AT = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiDaemon]:
    monkeypatch.setattr(hosts, "local_engine", lambda *_: FakeEngine())
    with api_daemon(tmp_path) as found:
        yield found


def container(name: str, state: str = "running", health: ContainerHealth | None = None) -> Container:
    _, service, release, _ = name.split(".")
    labels = {LABEL_ROLE: ROLE_APP, LABEL_SERVICE: service, LABEL_RELEASE: release[1:]}
    return Container(name, name, state, "", labels, "", AT, health=health)


def target(name: str, state: TargetState, reason: str = "", in_flight: int = 0) -> TargetHealth:
    found = Target(id=name, address="172.17.0.2", port=8080)
    return TargetHealth(
        target=found,
        state=state,
        reason=reason,
        description=f"{reason} in words" if reason else "",
        in_flight=in_flight,
        since=Stamp.from_wall(AT),
    )


def test_services_have_their_containers(daemon: ApiDaemon) -> None:
    """With and without a target, of each release. A target whose container was not listed counts as well."""
    job = "nightly: {command: [x], schedule: '0 3 * * *'}"
    services = f"{{services: {{web: {{target_group: web}}, worker: {{command: [work]}}, {job}}}}}"
    daemon.release("a" * 40, PIPELINE.replace("{target_group: web}", services, 1))
    targets = [
        target("shop.web.r1.aaaaaa", TargetState.HEALTHY, in_flight=3),
        target("shop.web.r0.bbbbbb", TargetState.DRAINING, "Target.DeregistrationInProgress"),
    ]
    report = ServiceReport(
        [
            container("shop.web.r1.aaaaaa"),
            container("shop.worker.r1.cccccc", health=ContainerHealth.STARTING),
            container("shop.worker.r1.dddddd"),
        ],
        {each.target.id: each for each in targets},
        {"shop.worker.r1.dddddd": 2},
    )
    web, worker = report.responses(daemon.store, daemon.store.releases.active("shop"))
    assert (web.name, web.image, web.target_group, web.healthy, web.is_scaled) == ("web", "shop:a", "web", 1, False)
    assert [(each.name, each.release, each.state, each.target, each.in_flight) for each in web.replicas] == [
        ("shop.web.r0.bbbbbb", 0, "unknown", "draining", 0),
        ("shop.web.r1.aaaaaa", 1, "running", "healthy", 3),
    ]
    code = "Target.DeregistrationInProgress"
    assert [(each.reason, each.description) for each in web.replicas] == [(code, f"{code} in words"), ("", "")]
    assert (worker.target_group, worker.healthy) == (None, 1)
    assert [(each.health, each.target, each.restarts) for each in worker.replicas] == [
        ("starting", None, 0),
        (None, None, 2),
    ]


def test_services_are_part_of_the_status(daemon: ApiDaemon) -> None:
    """The endpoint has what `pipeline status --json` prints. Without an active release, there are none."""
    assert daemon.get("services") == []
    daemon.release("a" * 40)
    (service,) = daemon.get("services")
    assert (service["name"], service["healthy"], service["replicas"]) == ("web", 0, [])
    assert daemon.get("status")["data"]["services"] == [service]


def test_scaling_is_suspended_and_resumed_by_a_user(daemon: ApiDaemon) -> None:
    """The events name the user. A repetition changes nothing and emits nothing."""
    policy = policy_text(min=1, target={"requests_per_target": 100})
    daemon.release("a" * 40, wanted={"web": 1}, scaling={"web": policy})
    assert [each["service"] for each in daemon.get("scaling")] == ["web"]
    assert daemon.post("scaling/web/suspend", by="ann") == {"effect": "scaling of web is suspended"}
    assert daemon.post("scaling/web/suspend", by="bob") == {"effect": "scaling of web is suspended already"}
    assert daemon.get("scaling")[0]["suspended_at"] is not None
    assert daemon.post("scaling/web/resume", by="bob") == {"effect": "scaling of web is not suspended"}
    assert daemon.post("scaling/web/resume", by="bob") == {"effect": "scaling of web is not suspended already"}
    assert daemon.events("scaling.") == [
        ("scaling.suspended", {"service": "web", "by": "ann"}),
        ("scaling.resumed", {"service": "web", "by": "bob"}),
    ]


def test_hosts_are_drained_and_resumed_by_a_user(daemon: ApiDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drain is a run with a user, and a resume an event."""

    def open_fake(cluster: ClusterSpec, *_: object, **__: object) -> OpenCluster:
        engines: dict[str, Engine] = {"app1": FakeEngine()}
        return OpenCluster(cluster, FakeRuntime(), lambda: engines)

    monkeypatch.setattr("pipeline.engine.clusters.open_cluster", open_fake)
    number = daemon.release("a" * 40)
    cluster = ClusterSpec(hosts=tuple(ClusterHost(HostSpec(name, f"ssh://{name}", "a", "10.0.0.1")) for name in "xy"))
    row = daemon.store.deployments.begin("shop", 1, number, number, cluster=cluster)
    daemon.store.deployments.finish(row, DeploymentState.SUCCEEDED)
    daemon.store.clusters.forget("shop", "local")
    assert [(each["name"], each["use"], each["replicas"]) for each in daemon.get("nodes")] == [
        ("x", "active", 0),
        ("y", "active", 0),
    ]
    run = daemon.post("nodes/x/drain", by="ann")
    assert (run["kind"], run["requested"], run["by"], run["state"]) == ("drain", "x", "ann", "queued")
    assert daemon.post("nodes/x/resume", by="ann") == {"effect": "host x takes replicas already"}
    daemon.store.clusters.drain("shop", "x")
    assert daemon.post("nodes/x/resume", by="bob") == {"effect": "host x takes replicas"}
    assert daemon.events("host.") == [("host.resumed", {"host": "x", "by": "bob"})]


def test_a_service_of_a_stack_is_changed_by_its_stack_only(daemon: ApiDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for commands: its record would say something else than what runs."""
    monkeypatch.setattr(daemon.control.supervisor("shop").served_file, "is_service", True)
    for kind in ("run", "rollback", "restart"):
        with pytest.raises(ConfigError) as error:
            daemon.post("runs", kind=kind, by="ann")
        assert error.value.message == "shop is the pipeline of a service that a stack has made"
    assert daemon.store.runs.latest("shop") == []


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("scaling/web/suspend", {}, "shop has no scaled service"),
        ("nodes/z/drain", {}, "shop has no host z"),
        ("nodes/z/resume", {}, "shop has no host z"),
        ("nodes/local/drain", {}, "local is the only host that takes replicas"),
        ("scaling/web/suspend", {"by": "a\x1b[1m"}, "by: Value error, must not contain control characters"),
        ("scaling/web/suspend", {"by": ""}, "by: String should have at least 1 character"),
        ("scaling/web/suspend", {"who": "ann"}, "who: Extra inputs are not permitted"),
    ],
)
def test_bad_requests_are_explained(daemon: ApiDaemon, path: str, body: dict[str, str], message: str) -> None:
    """The message names what is wrong. Nothing changes."""
    with pytest.raises(ConfigError) as error:
        daemon.post(path, **body)
    assert error.value.message == message

"""`pipeline node`: its output, and what it asks of the daemon or does itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.base.errors import ConfigError
from pipeline.cli.program import cli
from pipeline.engine.cluster import ClusterHost, ClusterSpec
from pipeline.engine.host import HostSpec
from pipeline.engine.interfaces import Engine
from pipeline.engine.open_cluster import OpenCluster
from pipeline.store.records import DeploymentState
from pipeline.store.store import Store
from pipeline.testing.fakes.engine import FakeEngine
from pipeline.testing.fakes.runtime import FakeRuntime
from tests.support.started_runs import begin_run


def run(*words: str, code: int = 0) -> str:
    """Return the output of a command. An error of Penstock is raised."""
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.output


def failed(*words: str) -> tuple[str, str | None]:
    """Return the message of the command's error, and its hint."""
    with pytest.raises(ConfigError) as raised:
        run(*words)
    return raised.value.message, raised.value.hint


@pytest.fixture
def shop(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The pipeline with the hosts app1 and app2, without replicas, which was also on app3."""

    def open_fake(cluster: ClusterSpec, *_: object, **__: object) -> OpenCluster:
        engines: dict[str, Engine] = {"app1": FakeEngine()}
        return OpenCluster(cluster, FakeRuntime(), lambda: engines)

    monkeypatch.setattr("pipeline.engine.clusters.open_cluster", open_fake)
    for names in (("app1", "app2", "app3"), ("app1", "app2")):
        number = begin_run(store, "shop").number
        hosts = tuple(ClusterHost(HostSpec(name, f"ssh://{name}", "a", "10.0.0.1")) for name in names)
        made = store.releases.create(
            "shop", number, sha="a" * 40, subject="", image_id="1", image_tag="1", spec='{"services": {"web": {}}}'
        )
        active = store.releases.active("shop")
        before = active.number if active else None
        row = store.deployments.begin("shop", number, before, made.number, cluster=ClusterSpec(hosts=hosts))
        store.deployments.finish(row, DeploymentState.SUCCEEDED)
    store.clusters.forget("shop", "local")
    return store


def test_the_list(shop: Store) -> None:
    """As a table, and as JSON."""
    shop.clusters.drain("shop", "app2")
    assert [line.split() for line in run("node", "list").splitlines()] == [
        ["NAME", "ENGINE", "ZONE", "USE", "REPLICAS"],
        ["app1", "ssh://app1", "a", "active", "0"],
        ["app2", "ssh://app2", "a", "drained", "0"],
        ["app3", "ssh://app3", "a", "leaving", "0"],
    ]
    assert json.loads(run("node", "list", "--json"))[1] == {
        "name": "app2",
        "engine": "ssh://app2",
        "zone": "a",
        "address": "10.0.0.1",
        "use": "drained",
        "replicas": 0,
        "fault": "",
    }


def test_a_name_that_is_none(shop: Store) -> None:
    """Each command names the nearest one."""
    for command in ("drain", "resume", "forget"):
        assert failed("node", command, "app11") == ("shop has no host app11", "did you mean app1?")


def test_a_drain_of_the_last_host_is_refused_before_it_is_a_run(shop: Store) -> None:
    """So nothing is queued."""
    shop.clusters.drain("shop", "app2")
    count = len(shop.runs.latest("shop"))
    message, hint = failed("node", "drain", "app1")
    assert message == "app1 is the only host that takes replicas"
    assert hint == ("add another one to deploy.hosts and deploy, or let one take replicas: pipeline node resume NAME")
    assert len(shop.runs.latest("shop")) == count


def test_a_drain_is_a_run(shop: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the Deploy stage, with its host in the run's row."""
    drained: list[str] = []
    monkeypatch.setattr("stages.deploy.stage.DockerDeploy.drain", lambda _, context, host: drained.append(host))
    run("node", "drain", "app2")
    (last, *_) = shop.runs.latest("shop")
    assert (last.kind, last.requested, last.state) == ("drain", "app2", "succeeded")
    assert drained == ["app2"]


def test_a_host_is_resumed_and_forgotten(shop: Store) -> None:
    """Without a run, since nothing moves."""
    shop.clusters.drain("shop", "app2")
    assert run("node", "resume", "app2") == "host app2 takes replicas again (by anna)\n"
    assert run("node", "resume", "app2") == "app2 is not drained\n"
    assert run("node", "forget", "app3") == "host app3 is forgotten, with what may still run there (by anna)\n"
    assert failed("node", "forget", "app1")[0] == "host app1 has not left: a deployment uses it"
    assert [event.kind for event in shop.events.latest("shop")][-2:] == ["host.resumed", "host.forgotten"]


def test_the_file_is_only_read(shop: Store, tmp_path: Path) -> None:
    """An invalid file is no obstacle."""
    Path("pipeline.yaml").write_text("name: shop\ndeploy: {}\n")
    assert run("node", "resume", "app2") == "app2 is not drained\n"

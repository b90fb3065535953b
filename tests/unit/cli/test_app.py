"""The container that `pipeline exec` and `pipeline run-once` mean."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pipeline.base.errors import ConfigError, EngineFault
from pipeline.base.home import Home
from pipeline.base.lock import work_lock
from pipeline.cli.app import App, CommandOfContainer, app_of, command_of
from pipeline.engine.cluster import ClusterHost, ClusterSpec
from pipeline.engine.container import Container
from pipeline.engine.host import HostSpec
from pipeline.engine.labels import LABEL_RELEASE, LABEL_ROLE, LABEL_SERVICE, ROLE_APP, ROLE_CONSOLE
from pipeline.store.records import DeploymentState
from pipeline.store.store import Store
from tests.support.pipeline_yaml import MINIMAL

BEGAN = datetime(2026, 1, 2, tzinfo=UTC)


class FakeConsole:
    """Containers, and the names of those that were removed."""

    def __init__(self, *containers: Container) -> None:
        self._containers = list(containers)
        self.missing: dict[str, EngineFault] = {}
        self.removed: list[str] = []

    def containers(self, pipeline: str) -> list[Container]:
        return self._containers

    def remove(self, container: str) -> None:
        self.removed.append(container)

    def close(self) -> None:
        """Nothing to close."""


def container(name: str, release: int, *, state: str = "running", age: int = 0, role: str = ROLE_APP) -> Container:
    labels = {LABEL_ROLE: role, LABEL_SERVICE: name.split(".")[1], LABEL_RELEASE: str(release)}
    return Container(name, name, state, "", labels, "", BEGAN - timedelta(seconds=age))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})


def app(home: Home, *containers: Container) -> App:
    return App(home, "shop", 1, FakeConsole(*containers))  # type: ignore[arg-type]


def test_the_oldest_of_the_active_release_is_preferred(home: Home) -> None:
    """One of a release that is being deployed comes last, and one that has exited counts only for a copy."""
    young, old = container("shop.web.r1.a", 1, age=1), container("shop.web.r1.b", 1, age=2)
    new, dead = container("shop.web.r2.c", 2, age=9), container("shop.web.r1.d", 1, state="exited", age=9)
    assert app(home, young, old, new, dead).replica(None, running=True) == old
    assert app(home, new, dead).replica(None, running=True) == new
    assert app(home, new, dead).replica(None, running=False) == dead
    with pytest.raises(ConfigError, match="no replica of shop runs"):
        app(home, dead).replica(None, running=True)
    with pytest.raises(ConfigError, match="shop has no replica"):
        app(home).replica(None, running=False)


def test_a_service_and_a_replica_can_be_named(home: Home) -> None:
    """With several services one has to be. An unknown name has a suggestion."""
    web, worker = container("shop.web.r1.a", 1), container("shop.worker.r1.b", 1)
    found = app(home, web, worker)
    assert found.replica("worker", running=True) == worker
    assert found.replica("web", "a", running=True) == web
    with pytest.raises(ConfigError, match="shop has several services") as caught:
        found.replica(None, running=True)
    assert caught.value.hint == "name one: web, worker"
    with pytest.raises(ConfigError, match="no replica is of service wbe") as caught:
        found.replica("wbe", running=True)
    assert caught.value.hint == "did you mean web?"
    with pytest.raises(ConfigError, match="shop has no replica b") as caught:
        found.replica("web", "b", running=True)
    assert caught.value.hint == "its replicas: shop.web.r1.a"


def test_a_replica_that_may_be_on_a_host_which_does_not_answer(home: Home) -> None:
    """The error names the host. Another replica is used if no name is given."""
    there = container("shop.web.r1.a", 1)
    found, empty = app(home, there), app(home)
    for each in (found, empty):
        each.console.missing["app2"] = EngineFault("host app2: no answer within 10 s")  # type: ignore[index]
    assert found.replica(None, running=True) == there
    assert found.replica("web", running=True) == there
    reason = r", and app2 does not answer: no answer within 10 s$"
    with pytest.raises(EngineFault, match=r"^shop has no replica b on the hosts that answer" + reason):
        found.replica(None, "b", running=True)
    for running in (True, False):
        with pytest.raises(EngineFault, match=r"^no replica of shop runs on the hosts that answer" + reason):
            empty.replica(None, running=running)
    with pytest.raises(EngineFault, match=r"^no replica of shop runs on the hosts that answer" + reason):
        found.replica("worker", running=True)


def test_the_console_of_a_pipeline_with_hosts(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its hosts are those of the database, whatever the file says."""
    monkeypatch.setenv("PENSTOCK_HOME", str(home.root))
    file = tmp_path / "pipeline.yaml"
    file.write_text(MINIMAL)
    # The local engine, on which replicas may be left, does not answer either.
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    cluster = ClusterSpec(hosts=(ClusterHost(HostSpec("app1", "ssh://127.0.0.1:1")),))
    with closing(Store(home.database)) as store:
        deployment = store.deployments.begin("shop", 1, None, 1, cluster=cluster)
        store.deployments.finish(deployment, DeploymentState.SUCCEEDED, "")
    with app_of(file, ()) as found, pytest.raises(EngineFault, match=r"^host app1 \(ssh://127\.0\.0\.1:1\)"):
        found.replica(None, running=True)


def test_what_killed_commands_left_is_removed(home: Home) -> None:
    """Only that of a process that has ended."""
    names = "shop.web.once.a", "shop.web.once.b"
    found = app(home, container("shop.web.r1.a", 1), *(container(name, 1, role=ROLE_CONSOLE) for name in names))
    with work_lock(home.lock(names[0]), "run-once of shop"):
        found.replica(None, running=True)
    assert found.console.removed == [names[1]]  # type: ignore[attr-defined]


def test_the_pipeline_of_a_file(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is found in a line of it, or by reading all of it."""
    monkeypatch.setenv("PENSTOCK_HOME", str(home.root))
    for text in (MINIMAL, MINIMAL.replace("name:", '"name":')):
        file = tmp_path / "pipeline.yaml"
        file.write_text(text)
        with app_of(file, ()) as found:
            assert (found.pipeline, found.active) == ("shop", None)


def test_the_command_after_two_dashes() -> None:
    """What comes before belongs to `pipeline`, and all of the rest to the command."""
    told: list[tuple[object, ...]] = []

    @click.command(cls=CommandOfContainer)
    @click.argument("service", required=False)
    @click.pass_context
    def command(context: click.Context, service: str | None) -> None:
        told.append((service, *command_of(context)))

    for arguments in (["web", "--", "sh", "-c", "x"], ["--", "sh", "--", "y"], ["web"], []):
        CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert told == [("web", "sh", "-c", "x"), (None, "sh", "--", "y"), ("web",), (None,)]
    assert "[-- COMMAND...]" in CliRunner().invoke(command, ["--help"]).output

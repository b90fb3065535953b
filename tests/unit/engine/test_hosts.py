"""The choice of an engine, and the cost of its import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.base.errors import EngineFault
from pipeline.engine.cluster import ClusterHost, ClusterSpec
from pipeline.engine.clusters import open_cluster
from pipeline.engine.docker.runtime import DockerRuntime
from pipeline.engine.host import HostSpec
from pipeline.engine.hosts import local_engine, local_host, runtime_on
from pipeline.engine.patient_runtime import PatientRuntime
from pipeline.testing.fakes.engine import FakeEngine

IMPORTS = ("pipeline.cli.main", "pipeline.cli.status", "pipeline.engine.hosts", "stages.build", "stages.deploy")


@pytest.mark.parametrize("module", IMPORTS)
def test_the_docker_sdk_is_not_imported_before_it_is_used(module: str) -> None:
    """Importing the choice of an engine does not import the Docker SDK."""
    code = f"import sys, {module}; sys.exit('docker' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_environment_names_the_engine() -> None:
    """The given environment selects the engine, and errors name its address."""
    with pytest.raises(EngineFault, match=r"no response at tcp://127\.0\.0\.1:1"):
        local_engine("home", {"DOCKER_HOST": "tcp://127.0.0.1:1"})


def test_this_machine_is_a_host_whose_containers_are_reached_directly() -> None:
    """On this machine, published ports bind to loopback only."""
    engine = FakeEngine()
    host = local_host(engine)
    assert (host.engine, host.publish_on, host.reach_at, host.routes_bridges) == (
        engine,
        "127.0.0.1",
        "127.0.0.1",
        True,
    )
    assert isinstance(runtime_on(host), DockerRuntime)


def test_a_cluster_of_the_local_engine_uses_the_engine_that_is_open(tmp_path: Path) -> None:
    """Its runtime is that of one host, with no thread and no call of its own, and its end leaves the engine open."""
    engine = FakeEngine()
    opened = open_cluster(ClusterSpec(), "home", tmp_path, {}, local=engine)
    assert isinstance(opened.runtime, DockerRuntime)
    assert opened.engines == {"local": engine}
    assert opened.runtime.lost == ()
    opened.close()
    assert engine.answers()


def test_a_cluster_of_hosts_connects_to_nothing_before_its_first_call(tmp_path: Path) -> None:
    """So a command that needs no replicas waits for no host."""
    host = ClusterHost(HostSpec("app1", "ssh://127.0.0.1:1", "a", "127.0.0.1"))
    opened = open_cluster(ClusterSpec(hosts=(host,)), "home", tmp_path / "hosts", {"PATH": ""})
    assert isinstance(opened.runtime, PatientRuntime)
    assert opened.engines == {}
    opened.close()
    assert not (tmp_path / "hosts").exists()

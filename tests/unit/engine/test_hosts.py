"""The choice of an engine, and the cost of its import."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pipeline.base.errors import EngineFault
from pipeline.engine.docker.runtime import DockerRuntime
from pipeline.engine.hosts import local_engine, local_host, runtime_on
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

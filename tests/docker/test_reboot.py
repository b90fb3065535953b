"""After a reboot Docker and the daemon restore the service without a command."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pipeline.base.errors import EngineFault
from pipeline.base.home import Home
from pipeline.engine.docker.engine import DockerEngine
from tests.docker.docker_cli import docker
from tests.docker.get import try_get
from tests.docker.power_cut import cut_power
from tests.docker.private_engine import PrivateEngine, obstacle, private_engine
from tests.docker.project import Project, until
from tests.docker.serving import Serving
from tests.support.docker_command import docker_command

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(bool(obstacle()), reason=obstacle() or "there is no obstacle"),
]

# Seconds. `bench/reboot.py` limits it to five on an otherwise idle machine.
LONGEST = 60.0


@pytest.fixture(scope="module")
def engine(base_image: str) -> Iterator[PrivateEngine]:
    with private_engine(base_image) as engine:
        yield engine


@pytest.fixture
def served(engine: PrivateEngine, base_image: str, tmp_path: Path) -> Iterator[Serving]:
    """The daemon of a project whose release 2 is active, on a private engine."""
    project = Project(tmp_path / "shop", base_image, Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})).create()
    served = Serving(project)
    with ExitStack() as stack:
        stack.callback(engine.clear)
        stack.callback(project.remove)
        stack.callback(served.stop)
        engine.start_if_off()
        served.start()
        served.await_run(1)
        project.commit("2")
        served.await_run(2)
        yield served


def assert_back(served: Serving, since: float) -> None:
    """Assert that the previously active release is complete again in time."""
    deadline = since + LONGEST - time.monotonic()
    until(lambda: try_get(served.project).startswith("sample-app 2 "), "a response of version 2", deadline=deadline)
    until(lambda: is_whole(served.project), "a whole service")
    assert [run.state for run in served.runs()] == ["succeeded", "succeeded"]


def is_whole(project: Project) -> bool:
    try:
        project.assert_serving(2)
    except (AssertionError, subprocess.SubprocessError):
        return False
    return True


@pytest.mark.long
def test_served_again_after_a_reboot(served: Serving, engine: PrivateEngine) -> None:
    """If Docker starts first, the active release responds soon after the daemon's start."""
    cut_power(served, engine)
    engine.start()
    since = time.monotonic()
    served.start()
    assert_back(served, since)


def test_served_again_where_docker_is_late(served: Serving, engine: PrivateEngine) -> None:
    """If the daemon starts first, the active release responds soon after Docker's start."""
    cut_power(served, engine)
    served.start()
    served.await_event("reconcile.failed")
    since = time.monotonic()
    engine.start()
    assert_back(served, since)
    served.await_event("reconcile.repaired")


def test_a_deployment_that_a_reboot_cut_short_is_done_again(served: Serving, engine: PrivateEngine) -> None:
    """A deployment that a reboot interrupted is run again, and nothing is left over."""
    count = len(served.events("target.draining"))
    served.project.commit("3")
    served.await_event("target.draining", count + 1)
    cut_power(served, engine)
    engine.start()
    since = time.monotonic()
    served.start()
    until(lambda: try_get(served.project), "a response", deadline=since + LONGEST - time.monotonic())
    assert served.await_run(3).attempts == 2
    until(lambda: try_get(served.project).startswith("sample-app 3 "), "a response of version 3")


def test_a_removal_that_hangs_is_named_and_delays_nothing_else(engine: PrivateEngine, base_image: str) -> None:
    """An engine that no longer hears of containerd answers other calls. The power cut removes the container."""
    engine.start_if_off()
    container = docker("run", "--detach", "--label", "penstock.home=h", base_image, "sleep", "600").strip()
    with ExitStack() as stack:
        # The next test needs an engine that is not frozen.
        stack.callback(engine.clear)
        assert "ContainerRm" not in engine.diagnosis()
        # The engine runs a program to answer for its version, which is not asked for again within a minute.
        DockerEngine("h").close()
        with DockerEngine("h", timeout=2) as connected:
            engine.freeze()
            with pytest.raises(
                EngineFault, match=rf"did not respond within 2 s to DELETE /containers/{container[:12]}\n"
            ):
                connected.containers.remove(container)
            assert connected.containers.find("no such container") is None
            assert connected.answers()
        with pytest.raises(
            AssertionError, match=r"timed out after 2 seconds(.|\n)*docker/daemon\.\(\*Daemon\)\.ContainerRm"
        ):
            docker_command("rm", "--force", container, timeout=2)
    engine.start_if_off()
    assert docker("ps", "--all", "--quiet") == ""

"""The home is moved while its containers and HAProxy run."""

from __future__ import annotations

import pytest

from pipeline.base.home import Home
from tests.docker.project import Project, until
from tests.docker.serving import serving

pytestmark = pytest.mark.docker


def test_a_moved_home_keeps_its_containers(service: Project) -> None:
    """The next run replaces them and loses no request."""
    before = {container.name for container in service.containers()}
    with service.load() as load:
        place = service.home.root.with_name("moved")
        service.home.root.rename(place)
        service.home = Home.locate({"PENSTOCK_HOME": str(place)})
        assert {container.name for container in service.containers()} == before
        service.commit("2")
        service.pipeline("run")
        service.assert_serving(2)
        assert load.stop().failed == 0
    with serving(service) as served:
        service.commit("3")
        served.await_run(3)
    service.pipeline("down")
    service.assert_gone()


def test_a_removed_database_costs_the_history_and_no_request(service: Project) -> None:
    """The next run takes over what is running."""
    service.commit("2")
    service.pipeline("run")
    with service.load() as load:
        for file in service.home.root.glob("penstock.db*"):
            file.unlink()
        assert "no active release" in service.pipeline("status").out
        service.commit("3")
        service.pipeline("run")
        assert load.stop().failed == 0
    service.assert_serving(1)
    service.pipeline("down")
    service.assert_gone()


def test_a_daemon_whose_database_is_removed_ends(service: Project) -> None:
    """It says so, and what serves goes on. The next daemon deploys the commit again."""
    with service.load() as load:
        with serving(service) as served:
            served.await_event("serve.started")
            for file in service.home.root.glob("penstock.db*"):
                file.unlink()
            assert served.exit_code() == 3
        assert "penstock.db was removed or replaced while the daemon used it" in served.output()
        with serving(service) as served:
            served.await_run(1)
        assert load.stop().failed == 0
    service.assert_serving(1)


def test_a_removed_socket_and_spool_are_made_again(service: Project) -> None:
    """Commands and hooks reach the daemon again within seconds."""
    with serving(service) as served:
        served.await_event("serve.started")
        service.home.daemon_socket.unlink()
        service.home.spool.rmdir()
        until(lambda: service.home.daemon_socket.is_socket() and service.home.spool.is_dir(), "both")
        service.commit("2")
        assert "succeeded" in service.pipeline("run").out
        service.assert_serving(2)

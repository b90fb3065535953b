"""The home is moved while its containers and HAProxy run."""

from __future__ import annotations

import pytest

from pipeline.base.home import Home
from tests.docker.project import Project
from tests.docker.serving import serving

pytestmark = [pytest.mark.docker, pytest.mark.timeout(180)]


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

"""Deployments to a Swarm of one machine. `python -m tests.docker.three_machines` has one of three."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.testing.machines.site import Site
from pipeline.testing.machines.swarm import form_swarm
from tests.docker.cluster_work import assert_whole
from tests.docker.site_project import ZONES, SiteProject, failures, site_home, site_load
from tests.support.three_servers import three_servers

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def swarm(base_image: str) -> Iterator[Site]:
    """A manager that has the base image."""
    with three_servers("app1", image=base_image) as made:
        form_swarm(made, zones={"app1": ZONES[0]})
        yield made


@pytest.fixture
def project(swarm: Site, base_image: str, tmp_path: Path) -> Iterator[SiteProject]:
    """A project with three replicas on the Swarm, whose release 1 is active."""
    made = SiteProject(tmp_path / "shop", base_image, site_home(tmp_path), replicas=3, site=swarm, swarm=True)
    try:
        made.create()
        made.pipeline("run")
        yield made
    finally:
        made.remove()


def services(swarm: Site) -> list[str]:
    """Return the names of the services of the Swarm."""
    first, *_ = swarm.servers.values()
    return first.engine.docker("service", "ls", "--format", "{{.Name}}").split()


def test_replicas_move_between_hosts_and_a_swarm(project: SiteProject, swarm: Site) -> None:
    """By a deployment, in both directions, without a lost request. Nothing is left where they were."""
    on_swarm = project.cluster
    on_hosts = on_swarm.replace("runtime: swarm", "runtime: docker")
    assert {target.target.address for target in project.targets()} == {swarm.servers["app1"].address}
    with site_load(project.port) as load:
        for version, cluster in enumerate((on_swarm, on_hosts, on_swarm), 2):
            project.cluster = cluster
            project.configure()
            project.commit(str(version))
            project.pipeline("run")
            assert_whole(project)
            assert len(services(swarm)) == (project.replicas if cluster == on_swarm else 0)
        reports = load.stop()
    assert not failures(reports)
    project.pipeline("down")
    assert not services(swarm)
    assert not swarm.servers["app1"].engine.docker("config", "ls", "--quiet")


def test_commands_reach_the_containers_of_a_swarm(project: SiteProject) -> None:
    """Their output by the manager, and commands in them by the engine of their node."""
    name = project.targets()[0].target.id.rpartition(".")[2]
    assert project.pipeline("exec", "--", "cat", "version.txt").out.strip() == "1"
    output = project.pipeline("logs", "--app").out.splitlines()
    assert any(name in line for line in output), output
    assert "app1" in project.pipeline("status").out
    project.commit("2")
    assert "the Swarm chooses the node of each new container" in project.pipeline("plan").out
    nodes = project.pipeline("node", "list").out
    assert nodes.split("\n")[1].split()[:2] == ["app1", "swarm"]


@pytest.mark.long
def test_a_node_is_drained_without_a_lost_request(base_image: str, tmp_path: Path) -> None:
    """Its replicas move by the steps of a deployment. Then the Swarm starts nothing there, until it is resumed."""
    with three_servers("app1", "app2", image=base_image) as site:
        form_swarm(site, managers=1)
        project = SiteProject(tmp_path / "shop", base_image, site_home(tmp_path), replicas=4, site=site, swarm=True)
        try:
            project.create()
            project.pipeline("run")
            assert {line.split()[0] for line in project.running()} == {"app1", "app2"}
            with site_load(project.port) as load:
                project.pipeline("node", "drain", "app2")
                reports = load.stop()
            assert not failures(reports)
            assert_whole(project)
            assert {line.split()[0] for line in project.running()} == {"app1"}
            manager = site.servers["app1"].engine
            availability = ("node", "inspect", "--format", "{{.Spec.Availability}}", "app2")
            assert manager.docker(*availability).strip() == "drain"
            project.pipeline("node", "resume", "app2")
            assert manager.docker(*availability).strip() == "active"
            project.pipeline("restart")
            assert {line.split()[0] for line in project.running()} == {"app1", "app2"}
        finally:
            project.remove()

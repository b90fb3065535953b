"""Deployments to three machines, of which one dies. `python -m tests.docker.three_machines` is the whole."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.balancer.planes import open_balancer
from pipeline.testing.load.failed_targets import failed_targets
from pipeline.testing.load.report import LoadReport
from pipeline.testing.machines.site import Site
from tests.docker.cluster_faults import ClusterUnderFaults, machine_killed_in_a_deployment
from tests.docker.cluster_work import assert_whole
from tests.docker.serving import serving
from tests.docker.site_project import SiteProject, end_at_once, site_home, site_load
from tests.support.paths import ROOT
from tests.support.three_servers import three_servers
from tests.support.waiting import COMMAND_TIMEOUT, LONGEST_TIMEOUT

pytestmark = pytest.mark.docker

EXAMPLE = ROOT / "examples" / "three-hosts"


@pytest.fixture
def servers(base_image: str) -> Iterator[Site]:
    """Three machines that have the base image."""
    with three_servers(image=base_image) as made:
        yield made


@pytest.fixture
def project(servers: Site, base_image: str, tmp_path: Path) -> Iterator[SiteProject]:
    """A project with six replicas on three hosts, whose release 1 is active."""
    made = SiteProject(tmp_path / "shop", base_image, site_home(tmp_path), replicas=6, site=servers)
    try:
        made.create()
        end_at_once(made.directory)
        made.commit("1")
        made.pipeline("run")
        yield made
    finally:
        made.remove()


def test_a_host_dies_in_a_deployment(project: SiteProject, servers: Site) -> None:
    """Requests fail only at the host that dies. Then everything runs elsewhere, and in the end once.

    A firewall as in docs/scaling.md lets this machine in, and no other.
    """
    addresses = [server.address for server in servers.servers.values()]
    assert sorted(health.target.address for health in project.targets()) == sorted(2 * addresses)
    only_home(servers)
    with site_load(project.port) as load:
        log = open_balancer(project.home.balancer).access_log()
        log.skip()
        with serving(project) as served:
            lost = machine_killed_in_a_deployment(ClusterUnderFaults(project, servers, served))
        reports = load.stop()
    failed = failed_targets(log)
    assert set(failed) <= lost
    assert_whole(project)
    assert all(report.succeeded for report in reports)
    assert sum(report.failed for report in reports) <= len(failed), describe(reports)


def only_home(servers: Site) -> None:
    """Apply the rule of docs/scaling.md, and assert what it does."""
    page = (ROOT / "docs" / "scaling.md").read_text()
    rule = next(line for line in page.splitlines() if line.startswith("$ iptables")).removeprefix("$ ")
    server, other, *_ = servers.servers.values()
    (first, *_) = server.engine.docker("ps", "--format", "{{.Ports}}").splitlines()
    port = first.partition("->")[0].rpartition(":")[2]
    connect = [sys.executable, "-c", f"import socket; socket.create_connection(({server.address!r}, {port}), 2)"]
    for command, code in ((connect, 0), (other.machine.inside(*connect), 0)):
        assert subprocess.run(command, capture_output=True, check=False, timeout=COMMAND_TIMEOUT).returncode == code
    server.machine.run(*rule.replace("eth0", "cable").replace("10.0.0.5", str(servers.lan.home)).split())
    assert subprocess.run(connect, capture_output=True, check=False, timeout=COMMAND_TIMEOUT).returncode == 0
    assert (
        subprocess.run(
            other.machine.inside(*connect), capture_output=True, check=False, timeout=COMMAND_TIMEOUT
        ).returncode
        != 0
    )


def describe(reports: tuple[LoadReport, LoadReport]) -> list[object]:
    """Return the failed requests."""
    return [failure for report in reports for failure in report.failures]


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("runtime", ["ssh", "swarm"])
def test_the_example_loses_nothing(base_image: str, runtime: str) -> None:
    """The tour of examples/three-hosts ends well only if each lost request was in flight to the cut machine."""
    played = subprocess.run(
        [sys.executable, "-m", "play", runtime],
        cwd=EXAMPLE,
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST_TIMEOUT,
    )
    assert played.returncode == 0, played.stdout + played.stderr

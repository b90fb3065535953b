"""Deployments to this machine and to a host that is reached by SSH, with an engine of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.testing.load.report import LoadReport
from tests.docker.project import Projects
from tests.docker.two_hosts import TwoHosts, two_hosts

pytestmark = pytest.mark.docker


@pytest.fixture
def hosts(projects: Projects, base_image: str, tmp_path: Path) -> Iterator[TwoHosts]:
    """Two hosts without replicas."""
    with two_hosts(projects, base_image, tmp_path) as made:
        yield made


def _lost(report: LoadReport) -> int:
    return report.sent - report.succeeded


def test_a_pipeline_moves_to_hosts_and_back(hosts: TwoHosts) -> None:
    """By the local engine, two hosts, a drain and back, under load, no request is lost."""
    hosts.configure()
    hosts.run("run")
    hosts.configure("near", "far")
    assert "use the hosts near, far with placement spread; before: local" in hosts.run("plan").out
    with hosts.project.load(rate=60) as load:
        hosts.run("run")
        # This machine keeps what it has until the next release.
        assert hosts.places() == {("near", "1"): 4}
        hosts.project.commit("2")
        planned = hosts.run("plan").out
        assert [line.strip() for line in planned.splitlines() if "start new-" in line][:2] == [
            "start new-1 on far",
            "start new-2 on near",
        ]
        said = hosts.run("run").out
        assert "sent to far" in said
        assert hosts.places() == {("near", "2"): 2, ("far", "2"): 2}
        listed = json.loads(hosts.run("node", "list", "--json").out)
        assert [(each["name"], each["use"], each["replicas"]) for each in listed] == [
            ("near", "active", 2),
            ("far", "active", 2),
        ]
        hosts.run("node", "drain", "far")
        assert hosts.places() == {("near", "2"): 4}
        assert "near is the only host that takes replicas" in hosts.run("node", "drain", "near", code=2).err
        hosts.run("node", "resume", "far")
        hosts.run("restart")
        assert hosts.places() == {("near", "2"): 2, ("far", "2"): 2}
        hosts.configure("near")
        hosts.run("run")
        assert hosts.places() == {("near", "2"): 4}
        assert "no host far" in hosts.run("node", "forget", "far", code=2).err
        report = load.stop()
    assert _lost(report) == 0, report
    hosts.run("down")
    assert hosts.places() == {}

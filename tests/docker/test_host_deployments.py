"""Deployments to this machine and to a host that is reached by SSH, with an engine of its own."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.testing.load.report import LoadReport
from tests.docker.project import Projects, until
from tests.docker.two_hosts import TwoHosts, two_hosts

pytestmark = pytest.mark.docker

MIXED = {("near", "2"): 2, ("far", "2"): 2}


@pytest.fixture
def hosts(projects: Projects, base_image: str, tmp_path: Path) -> Iterator[TwoHosts]:
    """Two hosts without replicas."""
    with two_hosts(projects, base_image, tmp_path) as made:
        yield made


def lost(report: LoadReport) -> int:
    """Return the number of requests without a successful response."""
    return report.sent - report.succeeded


def has_event(hosts: TwoHosts, kind: str, run: int) -> bool:
    """Return whether a run has emitted an event of a kind."""
    with hosts.project.store() as store:
        return any((event.kind, event.run) == (kind, run) for event in store.events.latest("shop"))


def test_a_tunnel_is_cut_during_a_deployment(hosts: TwoHosts) -> None:
    """Under load: the deployment waits for the host and goes on, and a drain empties it. No request is lost."""
    hosts.configure("near", "far")
    hosts.run("run")
    assert hosts.places() == {("near", "1"): 2, ("far", "1"): 2}
    hosts.project.commit("2")
    with hosts.project.load(rate=40) as load:
        deploying = hosts.project.start("run", PATH=hosts.server.environment["PATH"])
        until(lambda: has_event(hosts, "container.started", run=2), "the first new container")
        hosts.server.stop()
        hosts.server.start()
        assert "sent to far" in hosts.project.finish(deploying).out
        assert hosts.places() == MIXED
        hosts.run("node", "drain", "far")
        assert hosts.places() == {("near", "2"): 4}
        report = load.stop()
    assert lost(report) == 0, report


@pytest.mark.long
def test_a_pipeline_moves_to_hosts_and_back(hosts: TwoHosts) -> None:
    """From the local engine to two hosts, by a drain and a kill, and to one of them, under load: none is lost."""
    hosts.configure()
    hosts.run("run")
    hosts.configure("near", "far")
    assert "use the hosts near, far with placement spread; before: this machine" in hosts.run("plan").out
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
        hosts.run("run")
        assert hosts.places() == MIXED
        hosts.run("node", "drain", "far")
        assert "near is the only host that takes replicas" in hosts.run("node", "drain", "near", code=2).err
        hosts.run("node", "resume", "far")
        hosts.run("restart")
        assert hosts.places() == MIXED
        hosts.configure("near")
        killed = hosts.project.start("run", PATH=hosts.server.environment["PATH"])
        until(lambda: has_event(hosts, "container.stopping", run=6), "a replica that leaves")
        killed.send_signal(signal.SIGKILL)
        hosts.project.finish(killed, code=-signal.SIGKILL)
        hosts.run("recover")
        assert sum(hosts.places().values()) == 4
        hosts.run("run")
        assert hosts.places() == {("near", "2"): 4}
        listed = json.loads(hosts.run("node", "list", "--json").out)
        assert [(each["name"], each["use"], each["replicas"]) for each in listed] == [("near", "active", 4)]
        report = load.stop()
    assert lost(report) == 0, report
    hosts.run("down")
    assert hosts.places() == {}

"""Deployments to this machine and to a host that is reached by SSH, with an engine of its own."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.engine.host import HostSpec
from pipeline.engine.hosts import host_engine
from pipeline.engine.labels import LABEL_RELEASE
from pipeline.testing.load.report import LoadReport
from tests.docker.project import Project, Projects, Result
from tests.support.private_engine import PrivateEngine, obstacle, other_engine
from tests.support.sshd import SshServer, ssh_server

pytestmark = pytest.mark.docker


@dataclass
class TwoHosts:
    """A project on host `near`, which is this machine, and host `far`, an engine behind an SSH server."""

    project: Project
    far: PrivateEngine
    server: SshServer

    @property
    def spec(self) -> HostSpec:
        """The host `far`."""
        return HostSpec("far", f"ssh://app2{self.far.socket}", "b", self.far.host)

    def configure(self, *hosts: str) -> None:
        """Write pipeline.yaml with these hosts, none for the local engine alone."""
        known = {
            "near": "{name: near, docker: local, zone: a}",
            "far": f"{{name: far, docker: '{self.spec.docker}', zone: b, address: {self.far.host}}}",
        }
        listed = f"  hosts: [{', '.join(known[name] for name in hosts)}]\n" if hosts else ""
        self.project.configure(("  target_group: web\n", f"  target_group: web\n{listed}"))

    def run(self, *arguments: str, code: int = 0) -> Result:
        """Run a command, which finds the SSH server of the test as `app2`."""
        return self.project.pipeline(*arguments, code=code, PATH=self.server.environment["PATH"])

    def places(self) -> Counter[tuple[str, str]]:
        """Return the number of running replicas by host and release."""
        here = self.project.containers()
        with host_engine(self.spec, self.project.home.id, self.server.tunnels, self.server.environment) as engine:
            there = engine.containers.for_pipeline(self.project.name)
        found = [("near", each) for each in here] + [("far", each) for each in there]
        return Counter((host, each.labels[LABEL_RELEASE]) for host, each in found if each.is_running)


@pytest.fixture
def hosts(projects: Projects, base_image: str, tmp_path: Path) -> Iterator[TwoHosts]:
    """Two hosts without replicas. Both have the base image."""
    if reason := obstacle():
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    with other_engine(base_image) as far, ssh_server(tmp_path) as server:
        project = projects(replicas=4)
        yield TwoHosts(project, far, server)


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

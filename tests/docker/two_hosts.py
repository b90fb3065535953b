"""A project on two hosts: this machine, and one that is reached by SSH, with an engine of its own."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.engine.container import Container
from pipeline.engine.host import HostSpec
from pipeline.engine.hosts import host_engine
from pipeline.engine.labels import LABEL_RELEASE, ROLE_APP
from tests.docker.project import Project, Projects, Result
from tests.support.private_engine import PrivateEngine, obstacle, other_engine
from tests.support.sshd import SshServer, ssh_server


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

    def on_far(self, role: str = ROLE_APP) -> list[Container]:
        """Return the containers on the host `far`, in any state."""
        with host_engine(self.spec, self.project.home.id, self.server.tunnels, self.server.environment) as engine:
            return engine.containers.for_pipeline(self.project.name, role)

    def places(self) -> Counter[tuple[str, str]]:
        """Return the number of running replicas by host and release."""
        here, there = self.project.containers(), self.on_far()
        found = [("near", each) for each in here] + [("far", each) for each in there]
        return Counter((host, each.labels[LABEL_RELEASE]) for host, each in found if each.is_running)


@contextmanager
def two_hosts(projects: Projects, base_image: str, folder: Path) -> Iterator[TwoHosts]:
    """Yield two hosts without replicas. Both have the base image."""
    if reason := obstacle():
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    with other_engine(base_image) as far, ssh_server(folder) as server:
        yield TwoHosts(projects(replicas=4), far, server)

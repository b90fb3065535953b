"""A project whose replicas run on the servers of a site, and the load on it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.base.home import Home
from pipeline.testing.load.load import Load
from pipeline.testing.load.profile import LoadProfile
from pipeline.testing.load.report import FailedRequest, LoadReport
from pipeline.testing.machines.site import Site
from tests.docker.project import Project
from tests.support.paths import ROOT

ZONES = ("a", "b", "c")
SLOW_SECONDS = 3
SHORT_RATE, SLOW_RATE = 40.0, 4.0
_BEFORE_TARGETS = "  deploy_timeout: 20s\n"
_TESTS = "  test: {command: [python3, -m, unittest], timeout: 30s}\n"
_HANDLER = "add_signal_handler(signal.SIGTERM, server.stop)"


@dataclass
class SiteProject(Project):
    """A project on the servers of `site`, with HAProxy and the commands on this machine.

    `swarm`: they are nodes of a Swarm, and the first one is the local engine. Otherwise each is a host, reached by SSH.
    """

    site: Site = field(kw_only=True)
    swarm: bool = False
    surge: int = len(ZONES)
    """How many replicas are replaced at once."""
    cluster: str = ""
    """The keys of `deploy` that choose the cluster."""

    def __post_init__(self) -> None:
        names = self.site.servers
        hosts = "".join(
            f"    - {{name: {name}, docker: ssh://root@{name}, zone: {zone}}}\n"
            for name, zone in zip(names, ZONES, strict=False)
        )
        # Docker cannot set it in a Swarm before version 25.
        privileges = "  no_new_privileges: false\n" if self.swarm else ""
        self.cluster = f"  runtime: {'swarm' if self.swarm else 'docker'}\n{privileges}  hosts:\n{hosts}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of commands."""
        first, *_ = self.site.servers.values()
        own = {"DOCKER_HOST": first.engine.address} if self.swarm else {}
        return {**super().environment, "PATH": self.site.access.environment["PATH"], **own}

    def configure(self, *changes: tuple[str, str]) -> None:
        """Write pipeline.yaml, with parts replaced."""
        # Each rollback goes one release further back, and needs its image.
        added = f"{_BEFORE_TARGETS}  retain: 20\n  rolling: {{max_surge: {self.surge}}}\n{self.cluster}"
        super().configure((_TESTS, ""), (_BEFORE_TARGETS, added), *changes)

    def running(self) -> list[str]:
        """Return the images of the containers that run on the servers, with the name of the server."""
        return sorted(
            f"{name} {line}"
            for name, server in self.site.servers.items()
            for line in server.engine.docker("ps", "--no-trunc", "--format", "{{.Image}}").splitlines()
        )


def end_at_once(directory: Path) -> None:
    """Let the sample application in a folder end at SIGTERM, as most do. Its requests in flight are lost then."""
    app = (directory / "app.py").read_text()
    assert _HANDLER in app
    (directory / "app.py").write_text(app.replace(_HANDLER, "add_signal_handler(signal.SIGTERM, os._exit, 0)"))


@dataclass
class SiteLoad:
    """Short requests, and a few that take three seconds, each sent when it is due."""

    short: Load
    slow: Load

    def mark(self, phase: str) -> None:
        """Start a phase."""
        self.short.mark(phase)
        self.slow.mark(phase)

    def reports(self) -> tuple[LoadReport, LoadReport]:
        """Return the reports so far: of the short requests, and of the slow ones."""
        return self.short.report(), self.slow.report()

    def stop(self) -> tuple[LoadReport, LoadReport]:
        """Stop sending, wait for the requests in flight, and return the reports."""
        return self.short.stop(), self.slow.stop()


@contextmanager
def site_load(port: int) -> Iterator[SiteLoad]:
    """Send requests to a port of this machine until the end of the block."""
    base = f"http://127.0.0.1:{port}"
    with (
        Load.start(LoadProfile(f"{base}/", SHORT_RATE, timeout=20)) as short,
        Load.start(LoadProfile(f"{base}/slow?ms={1000 * SLOW_SECONDS}", SLOW_RATE, posts=0, timeout=20)) as slow,
    ):
        yield SiteLoad(short, slow)


def counts(reports: tuple[LoadReport, LoadReport]) -> Mapping[str, tuple[int, int]]:
    """Return how many requests were sent and failed, by phase."""
    found: dict[str, tuple[int, int]] = {}
    for report in reports:
        for phase in report.phases:
            sent, failed = found.get(phase.name, (0, 0))
            found[phase.name] = (sent + phase.sent, failed + phase.failed)
    return found


def failures(reports: tuple[LoadReport, LoadReport]) -> list[FailedRequest]:
    """Return the failed requests, those of the slow ones last."""
    return [failure for report in reports for failure in report.failures]


def base_image() -> str:
    """Return the base image of the sample application."""
    return os.environ.get("PENSTOCK_BASE_IMAGE") or (ROOT / ".setup" / "base-image").read_text().strip()


def site_home(folder: Path) -> Home:
    """Return a home in a folder."""
    return Home.locate({"PENSTOCK_HOME": str(folder / "home")})

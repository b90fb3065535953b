"""How long deployments take on three machines, beside those to one engine and beside Swarm's own updates, in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from pipeline.base.home import Home
from pipeline.testing.machines.site import Site
from tests.docker.cluster_work import assert_whole
from tests.docker.docker_cli import docker
from tests.docker.project import Project
from tests.docker.site_project import SiteProject, base_image, end_at_once
from tests.docker.swarm_service import swarm_service

_TESTS = ("  test: {command: [python3, -m, unittest], timeout: 30s}\n", "")
_OWN = "Swarm's own update"
_TIMEOUT = "  deploy_timeout: 20s\n"
_SURGE = f"{_TIMEOUT}  rolling: {{max_surge: 3}}\n"


def hosts_times(site: Site, folder: Path, rounds: int) -> Iterator[str]:
    """Deploy a small change to one engine and to three hosts in turns, six replicas each. Yield what it took."""
    with ExitStack() as stack:
        local = Project(folder / "local", base_image(), _home(folder / "one"), name="local", replicas=6)
        hosts = SiteProject(folder / "hosts", base_image(), _home(folder / "two"), name="hosts", replicas=6, site=site)
        for project in (local, hosts):
            stack.callback(project.remove)
            project.create()
        local.configure(_TESTS, (_TIMEOUT, _SURGE))
        _first(local, hosts)
        taken: dict[str, list[float]] = {"one engine": [], "three hosts": []}
        sent = []
        for number in range(2, rounds + 2):
            taken["one engine"].append(_run(local, number))
            before = _sent_bytes(site)
            taken["three hosts"].append(_run(hosts, number))
            sent.append(_sent_bytes(site) - before)
            assert_whole(hosts)
        size = int(docker("image", "inspect", "--format", "{{.Size}}", base_image()))
        yield from _lines(taken, "one engine")
        share = statistics.median(sent) / size
        yield f"sent through the cable for a change: {statistics.median(sent):,.0f} bytes, {share:.2%} of {size:,}"


def swarm_times(site: Site, folder: Path, rounds: int) -> Iterator[str]:
    """Replace four replicas by Swarm's own update and by Penstock, on a Swarm and on one engine, in turns.

    Each replaces one at a time, as both do by default. Yield what it took.
    """
    with ExitStack() as stack:
        local = Project(folder / "local", base_image(), _home(folder / "one"), name="local", replicas=4)
        home = _home(folder / "two")
        swarm = SiteProject(
            folder / "swarm", base_image(), home, name="swarm", replicas=4, site=site, swarm=True, surge=1
        )
        for project in (local, swarm):
            stack.callback(project.remove)
            project.create()
        local.configure(_TESTS)
        _first(local, swarm)
        own = stack.enter_context(swarm_service(site, folder / "own", base_image(), replicas=4, parallel=1))
        taken: dict[str, list[float]] = {name: [] for name in (_OWN, "Penstock on Swarm", "Penstock on one engine")}
        for number in range(2, rounds + 2):
            taken[_OWN].append(own.update(own.build(str(number))))
            for name, project in (("Penstock on Swarm", swarm), ("Penstock on one engine", local)):
                _run(project, number)
                taken[name].append(_rollout(project))
        yield from _lines(taken, _OWN)


def _first(*projects: Project) -> None:
    """Deploy version 1, of the application that ends at SIGTERM."""
    for project in projects:
        end_at_once(project.directory)
        project.commit("1")
        project.pipeline("run")


def _run(project: Project, number: int) -> float:
    """Deploy a version, and return the seconds of the whole command."""
    project.commit(str(number))
    began = time.monotonic()
    project.pipeline("run")
    return time.monotonic() - began


def _rollout(project: Project) -> float:
    """Return the seconds from the first start of a replica in the latest run to the end of its deployment."""
    with project.store() as store:
        (run,) = store.runs.latest(project.name, limit=1)
        events = store.events.latest(project.name, run.number, limit=1000)
    begun = min(event.at for event in events if event.kind == "container.starting")
    ended = max(event.at for event in events if event.kind == "stage.finished")
    return (ended - begun).total_seconds()


def _lines(taken: dict[str, list[float]], reference: str) -> Iterator[str]:
    for name, seconds in taken.items():
        ratio = statistics.median(seconds) / statistics.median(taken[reference])
        each = " ".join(f"{second:.1f}" for second in seconds)
        yield f"{name:24} median {statistics.median(seconds):5.2f} s, {ratio:.2f} x {reference}   ({each})"


def _sent_bytes(site: Site) -> int:
    """Return how many bytes this machine has sent to the others."""
    return int((Path("/sys/class/net") / site.lan.cable / "statistics" / "tx_bytes").read_text())


def _home(folder: Path) -> Home:
    return Home.locate({"PENSTOCK_HOME": str(folder)})

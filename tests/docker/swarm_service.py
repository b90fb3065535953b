"""A service of Swarm that Swarm's own updates replace, behind Penstock's balancer.

A thread tells the balancer which tasks there are. It looks as often as Penstock does, and deregisters a task as soon as
Swarm wants it to end.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from docker import APIClient

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import Declaration, Target
from pipeline.balancer.planes import open_balancer
from pipeline.engine.hosts import local_engine
from pipeline.engine.image_transfer import ImageTransfer
from pipeline.testing.machines.site import Site
from tests.docker.site_project import end_at_once
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.waiting import COMMAND_TIMEOUT, until

_OWNER, _GROUP = "own", "web"
_INTERVAL = 0.05
_TIMEOUT = timedelta(minutes=3)


class SwarmService:
    """Replicas of the sample application, as tasks of one service. `folder` has the balancer's files."""

    def __init__(
        self, site: Site, folder: Path, base_image: str, *, replicas: int, parallel: int, is_graceful: bool
    ) -> None:
        self.port = free_port()
        self._site = site
        self._folder = folder
        self._base = base_image
        self._replicas = replicas
        self._parallel = parallel
        self._is_graceful = is_graceful
        self._manager = next(iter(site.servers.values()))
        self._balancer = open_balancer(folder / "balancer")
        self._addresses = {server.name: server.address for server in site.servers.values()}
        self._end = threading.Event()
        self._follower = threading.Thread(target=self._follow)

    def create(self) -> None:
        """Create the service with version 1, and wait until all tasks are healthy targets."""
        self._balancer.apply(_OWNER, _declaration(self.port))
        image = self.build("1")
        self._manager.engine.docker(
            *("service", "create", "--quiet", "--detach", f"--name={_GROUP}", f"--replicas={self._replicas}"),
            *("--publish=mode=host,target=8080", "--no-resolve-image", "--stop-grace-period=30s"),
            *("--update-order=start-first", f"--update-parallelism={self._parallel}", "--update-delay=0s"),
            # The check of the image each 30 s would make Swarm slower. Without one it does not wait for a start.
            *("--health-interval=1s", "--update-monitor=1s", "--rollback-order=start-first"),
            *(f"--rollback-parallelism={self._parallel}", "--update-failure-action=rollback", image),
        )
        self._follower.start()
        until(lambda: len(self._healthy()) == self._replicas, "healthy targets")

    def build(self, version: str) -> str:
        """Build a version of the sample application, send it to all nodes and return its id."""
        context = self._folder / "context"
        shutil.rmtree(context, ignore_errors=True)
        shutil.copytree(ROOT / "sample_app", context, ignore=shutil.ignore_patterns("__pycache__"))
        (context / "version.txt").write_text(f"{version}\n")
        if not self._is_graceful:
            end_at_once(context)
        tag = "penstock-own:next"
        command = ["docker", "build", "--quiet", f"--build-arg=BASE_IMAGE={self._base}", f"--tag={tag}", str(context)]
        image = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=COMMAND_TIMEOUT
        ).stdout.strip()
        engines = {
            name: local_engine(_OWNER, {**os.environ, "DOCKER_HOST": server.engine.address})
            for name, server in self._site.servers.items()
        }
        with local_engine(_OWNER) as home:
            ImageTransfer(home, self._folder, lambda _: None, threading.Event(), _TIMEOUT).send(image, tag, engines)
        for engine in engines.values():
            engine.close()
        return image

    def update(self, image: str) -> float:
        """Let Swarm update the service, and return the seconds until it says that it has completed."""
        began = time.monotonic()
        self._manager.engine.docker(
            "service", "update", "--quiet", "--detach", "--no-resolve-image", f"--image={image}", _GROUP
        )
        self.await_state("completed")
        return time.monotonic() - began

    def roll_back(self) -> None:
        """Let Swarm go back to the previous version."""
        self._manager.engine.docker("service", "rollback", "--quiet", "--detach", _GROUP)
        self.await_state("rollback_completed")

    def update_to_broken(self, image: str) -> None:
        """Let Swarm update to a version that never becomes healthy, and wait until it has gone back."""
        self._manager.engine.docker(
            "service", "update", "--quiet", "--detach", "--no-resolve-image", f"--image={image}", _GROUP
        )
        self.await_state("rollback_completed")

    def await_state(self, wanted: str) -> None:
        """Wait for a state of the update."""
        form = "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}"
        until(
            lambda: self._manager.engine.docker("service", "inspect", _GROUP, "--format", form).strip() == wanted,
            f"the state {wanted}",
            deadline=_TIMEOUT.total_seconds(),
            interval=0.05,
        )

    def close(self) -> None:
        """Remove the service, and stop the balancer."""
        self._end.set()
        if self._follower.ident is not None:
            self._follower.join()
        self._manager.engine.docker("service", "rm", _GROUP)
        self._balancer.withdraw(_OWNER)

    def _healthy(self) -> list[str]:
        found = self._balancer.target_health(_OWNER, _GROUP)
        return [health.target.id for health in found if health.state == "healthy"]

    def _follow(self) -> None:
        with closing(APIClient(self._manager.engine.address, version="1.41")) as client:
            names = {node["ID"]: node["Description"]["Hostname"] for node in client.nodes()}
            while not self._end.wait(_INTERVAL):
                tasks = client.tasks(filters={"service": _GROUP})  # type: ignore[no-untyped-call]
                wanted = [target for task in tasks if (target := self._target(task, names))]
                _synchronize(self._balancer, wanted)

    def _target(self, task: Mapping[str, Any], names: Mapping[str, str]) -> Target | None:
        """Return the target of a task that runs and that Swarm wants to run."""
        ports = task["Status"].get("PortStatus", {}).get("Ports", [])
        if task["Status"]["State"] != "running" or task["DesiredState"] != "running" or not ports:
            return None
        address = self._addresses[names[task["NodeID"]]]
        return Target(id=task["ID"], address=address, port=ports[0]["PublishedPort"])


@contextmanager
def swarm_service(
    site: Site, folder: Path, base_image: str, *, replicas: int = 6, parallel: int = 3, is_graceful: bool = False
) -> Iterator[SwarmService]:
    """Run a service on a Swarm, with its own balancer here. One that is not graceful ends at once at SIGTERM."""
    service = SwarmService(site, folder, base_image, replicas=replicas, parallel=parallel, is_graceful=is_graceful)
    try:
        service.create()
        yield service
    finally:
        service.close()


def _synchronize(balancer: Balancer, wanted: list[Target]) -> None:
    known = {health.target.id: health for health in balancer.target_health(_OWNER, _GROUP)}
    names = {target.id for target in wanted}
    if fresh := [target for target in wanted if target.id not in known]:
        balancer.register(_OWNER, _GROUP, *fresh)
    if former := [name for name, health in known.items() if name not in names and health.state != "draining"]:
        balancer.deregister(_OWNER, _GROUP, *former)
    for name, health in known.items():
        if health.state == "draining" and not health.in_flight:
            balancer.remove_target(_OWNER, _GROUP, name)
    balancer.reconcile()


def _declaration(port: int) -> Declaration:
    check = {"path": "/healthz", "interval": "200ms"}
    listener = {"port": port, "default_action": {"forward": _GROUP}}
    return Declaration.model_validate(
        {
            "target_groups": {_GROUP: {"port": 8080, "health_check": check, "deregistration_delay": "10s"}},
            "load_balancers": {"edge": {"scheme": "internal", "listeners": [listener]}},
        }
    )

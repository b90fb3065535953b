"""A deployment with Docker alone: the floor of what a deployment can take."""

from __future__ import annotations

import http.client
import subprocess
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from bench.build_time import BUILDKIT, bare_build
from pipeline.engine.container import ContainerSpec
from pipeline.engine.hosts import local_engine
from pipeline.engine.labels import LABEL_PIPELINE, LABEL_ROLE
from tests.docker.docker_cli import docker
from tests.docker.project import until

_PIPELINE = "bare"


class BareDocker:
    """Replaces N containers by N new ones, in a network of the kind that a pipeline has.

    Everything has the label of the home `home`, so it is removed with the home.
    """

    def __init__(self, context: Path, base: str, home: str, replicas: int) -> None:
        self._context, self._base, self._replicas = context, base, replicas
        self._engine = local_engine(home)
        self._containers: list[str] = []
        self._images: list[str] = []
        self._engine.networks.ensure(_PIPELINE)

    def deploy(self, version: str) -> float:
        """Build the context and replace the containers. Return the duration in seconds."""
        (self._context / "version.txt").write_text(f"{version}\n")
        started = time.monotonic()
        build = [*bare_build(), "--quiet", "--build-arg", f"BASE_IMAGE={self._base}", "."]
        done = subprocess.run(build, cwd=self._context, env=BUILDKIT, capture_output=True, text=True, check=True)
        image, previous = done.stdout.strip(), self._containers
        with ThreadPoolExecutor(16) as pool:
            names = [f"bare-{version}-{n}" for n in range(self._replicas)]
            self._containers = list(pool.map(lambda name: self._start(image, name), names))
            list(pool.map(self._await_200, self._containers))
        self._stop(previous)
        self._images.append(image)
        return time.monotonic() - started

    def remove(self) -> None:
        """Remove the containers, the images and the network."""
        self._stop(self._containers)
        self._engine.networks.remove(_PIPELINE)
        for image in self._images:
            docker("image", "rm", "--force", image)
        self._engine.close()

    def _start(self, image: str, name: str) -> str:
        labels = {LABEL_PIPELINE: _PIPELINE, LABEL_ROLE: "bare"}
        network = self._engine.networks.name(_PIPELINE)
        return self._engine.containers.start(ContainerSpec(name=name, image=image, labels=labels, network=network))

    def _await_200(self, container: str) -> None:
        address = self._engine.containers.inspect(container).address

        def answers() -> bool:
            with suppress(OSError):
                connection = http.client.HTTPConnection(address, 8080, timeout=1)
                connection.request("GET", "/healthz")
                return connection.getresponse().status == 200
            return False

        until(answers, f"{container} answers")

    def _stop(self, containers: Iterable[str]) -> None:
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda c: self._engine.containers.stop(c, timedelta(seconds=5)), containers))
            list(pool.map(self._engine.containers.remove, containers))

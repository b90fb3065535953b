"""The first request for a service that is scaled to zero, against Docker's start of the same container."""

from __future__ import annotations

import socket
import statistics
import tempfile
import time
import urllib.request
from pathlib import Path

from bench.extent import Extent
from bench.figure import Figure
from bench.idle_project import idle_project
from bench.results import Results
from tests.docker.docker_cli import docker
from tests.docker.project import DEADLINE
from tests.docker.serving import serving

_ROUNDS = 10
_MAX_RATIO = 2.5


def measure(_: Extent) -> Results:
    """Measure both in turn: the response to the first request, and `docker start` until a health check passes."""
    first: list[float] = []
    started: list[float] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, idle_project(Path(folder), 1) as project:
        project.configure(
            ("  test: {command: [python3, -m, unittest], timeout: 30s}\n", ""),
            ("replicas: 1\n", "scaling: {min: 0, max: 1, idle_time: 1d}\n"),
        )
        project.commit("1")
        with serving(project) as served:
            served.await_run(1)
            image = project.containers()[0].image
            while len(started) < _ROUNDS:
                served.scale_to_zero()
                first.append(_respond(project.port, "/"))
                started.append(_start(image))
    ratio = statistics.median(first) / statistics.median(started)
    return Results.judged(
        "The first request of a service at zero",
        f"The sample application, {_ROUNDS} rounds in turn. The request is sent by a client to the balancer, is held, "
        "and starts the container. For comparison, `docker start` of a container of the same image that exists, until "
        "it responds to a health check, which is sent every 5 ms. The service's own check has an interval of 200 ms.",
        ("what", "median", "longest"),
        [
            ("the response to the first request", f"{statistics.median(first):.2f} s", f"{max(first):.2f} s"),
            ("`docker start` until it is healthy", f"{statistics.median(started):.2f} s", f"{max(started):.2f} s"),
            ("ratio of the medians", f"{ratio:.2f}", ""),
        ],
        [Figure("times of `docker start` until the first response", ratio, _MAX_RATIO)],
    )


def _respond(port: int, path: str, host: str = "127.0.0.1") -> float:
    begin = time.monotonic()
    with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=DEADLINE) as response:
        assert response.status == 200
    return time.monotonic() - begin


def _start(image: str) -> float:
    name = f"bench-first-request-{time.monotonic_ns()}"
    docker("create", "--name", name, image)
    try:
        begin = time.monotonic()
        docker("start", name)
        address = docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", name).strip()
        while not _is_healthy(address):
            assert time.monotonic() - begin < DEADLINE
            time.sleep(0.005)
        return time.monotonic() - begin
    finally:
        docker("rm", "--force", name)


def _is_healthy(address: str) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex((address, 8080)):
            return False
    _respond(8080, "/healthz", address)
    return True

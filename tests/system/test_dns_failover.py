"""DNS fail-over from the health check of a target to what the C library of a client finds."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.haproxy import found_processes
from pipeline.balancer.model import Declaration
from pipeline.balancer.names.directory import Directory
from pipeline.balancer.names.read import read_names
from pipeline.balancer.names.server import name_server
from pipeline.balancer.planes import open_balancer
from pipeline.base.clock import SYSTEM
from tests.support.backend import Backend
from tests.support.namespace import Namespace, obstacle
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE, until
from tests.support.zoned import ZONES

A, B = "127.0.1.1", "127.0.2.1"
SERVER = "127.0.0.2"
LIMIT = timedelta(seconds=DEADLINE)
GROUP = {
    "port": 80,
    "health_check": {"path": "/healthz", "interval": "200ms", "timeout": "150ms"},
    "attributes": {"load_balancing.cross_zone.enabled": False},
}

pytestmark = pytest.mark.skipif(
    bool(os.getuid()) or shutil.which("getent") is None, reason="needs root and glibc, which asks port 53 only"
)


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def backends() -> Iterator[list[Backend]]:
    made = [Backend("a"), Backend("b")]
    yield made
    for backend in made:
        backend.end()


@pytest.fixture
def balancer(tmp_path: Path, port: int, backends: list[Backend]) -> Iterator[Balancer]:
    """Return a balancer with a healthy target in each of two zones."""
    balancer = open_balancer(tmp_path / "balancer")
    edge = {"zones": ZONES, "listeners": [{"port": port, "default_action": {"forward": "web"}}]}
    data = {"load_balancers": {"edge": edge}, "target_groups": {"web": GROUP}}
    balancer.apply("shop", Declaration.model_validate(data))
    for backend in backends:
        target = backend.target.model_copy(update={"zone": f"zone-{backend.name}"})
        balancer.register("shop", "web", target)
    balancer.wait_healthy("shop", "web", LIMIT)
    yield balancer
    balancer.withdraw("shop")


class Client:
    """A machine whose C library asks the DNS server. `reads` counts the looks at the balancer that it has caused."""

    def __init__(self, balancer: Balancer, folder: Path) -> None:
        self.reads = 0
        self._balancer = balancer
        self._settings = folder / "resolv.conf"
        self._settings.write_text(f"nameserver {SERVER}\n")
        self.machine = Namespace()
        # With no address but 127.0.0.1, getent looks for no IPv4 addresses (AI_ADDRCONFIG).
        self.machine.ip("addr add 10.9.9.9/32 dev lo")

    def read(self) -> Directory:
        self.reads += 1
        return read_names(self._balancer)

    def find(self) -> set[str]:
        """Return the addresses of the load balancer."""
        # The C library reads this file only, so it gets another one in a mount namespace of its own.
        script = f"mount --bind {self._settings} /etc/resolv.conf && exec getent ahostsv4 edge.shop.elb.internal"
        return {line.split()[0] for line in self.machine.run("unshare", "--mount", "sh", "-c", script).splitlines()}


@pytest.fixture
def client(balancer: Balancer, tmp_path: Path) -> Iterator[Client]:
    if reason := obstacle():
        pytest.skip(reason)
    client = Client(balancer, tmp_path)
    with ExitStack() as stack:
        stack.callback(client.machine.close)
        with client.machine.entered():
            stack.enter_context(name_server(client.read, socket.create_server((SERVER, 53))))
        yield client


def test_fail_over(balancer: Balancer, backends: list[Backend], client: Client, port: int) -> None:
    """A client finds the nodes of healthy zones only, and all if there is none."""
    assert client.find() == {A, B}
    for backend, address in zip(backends, (A, B), strict=True):
        with urllib.request.urlopen(f"http://{address}:{port}/") as response:
            assert response.read().decode() == backend.name
    backends[1].health = 500
    until(lambda: client.find() == {A}, "the zone with the healthy target")
    backends[0].health = 500
    until(lambda: client.find() == {A, B}, "both zones, because both are unhealthy")
    backends[1].health = 200
    until(lambda: client.find() == {B}, "the zone that has recovered")
    backends[0].health = 200
    until(lambda: client.find() == {A, B}, "both zones")
    # A data plane that hangs changes no name.
    for number in found_processes.processes(balancer.directory):
        os.kill(number, signal.SIGSTOP)
    reads = client.reads
    try:
        until(lambda: client.find() == {A, B} and client.reads > reads, "both zones, from a look that hangs")
        assert client.find() == {A, B}
    finally:
        balancer.resume()
    balancer.shift("shop", "edge", "zone-a", SYSTEM.now().later(timedelta(hours=1)))
    until(lambda: client.find() == {B}, "the zone that is left")

"""The names of load balancers while the daemon deploys."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import dns.message
import dns.query
import pytest

from tests.docker.project import Project, until
from tests.docker.serving import serving
from tests.support.ports import free_port

pytestmark = pytest.mark.docker

NODES = ("127.0.1.1", "127.0.2.1")
ZONES = "zones: {{zone-a: {}, zone-b: {}}}".format(*NODES)
# Seconds after which the C library asks another server.
LIMIT = 5.0


class Client:
    """Looks the load balancer up before each request, and sends it to the first address."""

    def __init__(self, dns_port: int, port: int) -> None:
        self._dns_port, self._port = dns_port, port
        self.first = Counter[str]()
        self.answers = Counter[str]()
        self.slowest = 0.0
        self.faults: list[str] = []
        self._ended = threading.Event()

    def find(self) -> list[str]:
        """Return the addresses of the load balancer."""
        query = dns.message.make_query("edge.shop.elb.internal", "A")
        response = dns.query.udp(query, "127.0.0.1", LIMIT, self._dns_port)
        return [data.address for records in response.answer for data in records]

    def run(self) -> None:
        while not self._ended.is_set():
            begun = time.monotonic()
            try:
                first = self.find()[0]
                self.slowest = max(self.slowest, time.monotonic() - begun)
                self.first[first] += 1
                with urllib.request.urlopen(f"http://{first}:{self._port}/", timeout=LIMIT) as response:
                    self.answers[response.read().split()[1].decode()] += 1
            except Exception as error:  # noqa: BLE001  # any fault is one too many
                self.faults.append(repr(error))

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()


def test_names_during_a_deployment(project: Project) -> None:
    """Each query is answered while a release replaces another, both nodes serve, and each request succeeds."""
    dns_port = free_port()
    project.configure(("scheme: internal", ZONES))
    project.commit("1")
    with serving(project, "--dns", f"127.0.0.1:{dns_port}") as served:
        served.await_run(1)
        client = Client(dns_port, project.port)
        until(lambda: sorted(client.find()) == sorted(NODES), "both nodes")
        with client.running():
            until(lambda: len(client.first) == 2, "a request to each node")
            project.commit("2")
            served.await_run(2)
        assert client.faults == []
        assert client.slowest < LIMIT
        assert len(client.answers) == 2
        assert min(client.first.values()) > 0.3 * client.first.total()
        project.pipeline("balancer", "shift", "edge", "--away", "zone-a", "--for", "1h")
        until(lambda: client.find() == [NODES[1]], "the node of the other zone")

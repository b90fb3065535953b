"""The data planes under contract, each with the outside actions that a test needs."""

from __future__ import annotations

import http.client
import os
import signal
import threading
from abc import ABC, abstractmethod
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.balancer.data_plane import CheckFact, DataPlane, PlaneConfig, TargetFact, WantedGroup, WantedTarget
from pipeline.balancer.flows.plane import FlowPlane
from pipeline.balancer.flows.process import flow_agent
from pipeline.balancer.haproxy.control_socket import Runtime
from pipeline.balancer.haproxy.found_processes import processes
from pipeline.balancer.haproxy.naming import MASTER_SOCKET
from pipeline.balancer.haproxy.plane import HAProxyPlane
from pipeline.balancer.model import Declaration
from pipeline.balancer.registry import Registry
from pipeline.balancer.wanted import plane_config
from pipeline.base.errors import BalancerFault
from pipeline.testing.fakes.data_plane import FakePlane
from tests.support.backend import Backend
from tests.support.namespace import Namespace
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE, until

GROUP = "shop.web"
# On a busy machine, a healthy server may be late some times.
_CHECK = {"path": "/healthz", "interval": "100ms", "timeout": "80ms", "unhealthy_threshold": 5}


class Harness(ABC):
    """A plane with targets and clients. Its listener is on `port`."""

    plane: DataPlane
    host, other_host = "127.0.0.1", "127.0.0.2"
    """The addresses of the listener. Clients use the first one. With zones, it has both."""

    def __init__(self, *, network: bool = False, zones: bool = False) -> None:
        self.port = free_port()
        self._network = network
        self.holds = False
        """Its groups hold requests while they have no target. Those of other load balancers and of zones cannot."""
        self.zones = {"zone-a": self.host, "zone-b": self.other_host} if zones else None

    # Wanted state

    def config(self, *targets: WantedTarget, groups: tuple[str, ...] = ("web",), path: str = "/healthz") -> PlaneConfig:
        """Return a configuration whose group `web` has these targets. `path` is the path of its check."""
        # A target of a network load balancer is an HTTP server too, so the same clients and servers serve both kinds.
        kind, protocol = ({"type": "network"}, {"protocol": "TCP"}) if self._network else ({}, {})
        check = {**_CHECK, "protocol": "HTTP", "path": path}
        off: dict[str, Any] = {"hold_time": "10m"} if self.holds else {}
        off |= {"attributes": {"load_balancing.cross_zone.enabled": False}} if self.zones else {}
        listener = {**protocol, "port": self.port, "default_action": {"forward": "web"}}
        place = {"zones": self.zones} if self.zones else {"address": self.host}
        edge = {**kind, **place, "listeners": [listener]}
        declared = {
            "target_groups": {name: {**protocol, "port": 80, "health_check": check, **off} for name in groups},
            "load_balancers": {"edge": edge},
        }
        bare = plane_config(Registry().declare("shop", Declaration.model_validate(declared)))
        return PlaneConfig(bare.listeners, {**bare.groups, GROUP: self._with(bare.groups[GROUP], targets)}, {})

    def group(self, *targets: WantedTarget) -> WantedGroup:
        """Return the group `web` with these targets."""
        return self.config(*targets).groups[GROUP]

    def target(self, name: str, *, admit: bool = False, checked: bool = True) -> WantedTarget:
        """Return the target of a named server, which is started on first use."""
        address, port = self.endpoint(name)
        check = self.config().groups[GROUP].settings.health_check if checked else None
        return WantedTarget(name, address, port, admit=admit, check=check, ramp=False)

    def _with(self, group: WantedGroup, targets: tuple[WantedTarget, ...]) -> WantedGroup:
        return replace(group, targets=targets)

    # Facts

    def facts(self) -> dict[str, TargetFact]:
        """Return the facts of the group `web`, after another round of checks."""
        self.run_checks()
        return dict(self.plane.observe([GROUP]).targets[GROUP])

    def fact(self, name: str) -> TargetFact | None:
        """Return the fact of one target."""
        return self.facts().get(name)

    def await_pass(self, name: str) -> TargetFact:
        """Wait for a health check to pass."""
        found = until(lambda: (f := self.fact(name)) and f.check.has_passed_check and f, f"{name} passes its check")
        assert isinstance(found, TargetFact)
        return found

    def serve(self, *names: str) -> None:
        """Admit these targets as a balancer does: closed until a check has passed."""
        self.plane.apply(self.config(*map(self.target, names)))
        for name in names:
            self.await_pass(name)
        self.plane.steer(self.group(*(self.target(name, admit=True) for name in names)))

    # From outside

    @abstractmethod
    def endpoint(self, name: str) -> tuple[str, int]:
        """Return the address and port of a server."""

    @abstractmethod
    def replace_server(self, name: str) -> None:
        """Give the next target of this name another address. The previous server stays."""

    @abstractmethod
    def answer_checks(self, name: str, status: int) -> None:
        """Make a server respond to health checks with this status from now on."""

    @abstractmethod
    def run_checks(self) -> None:
        """Let time pass for health checks."""

    @abstractmethod
    def ask(self) -> str | None:
        """Send a short request and return the name of the server that responded, or None."""

    @abstractmethod
    def hold(self) -> None:
        """Send a request that no target can get yet."""

    @abstractmethod
    def begin(self, name: str) -> None:
        """Send a request that stays open. It must reach this server."""

    @abstractmethod
    def finish(self, name: str) -> bool:
        """Let the server respond to its open request. Return whether the client got the response."""

    @abstractmethod
    def crash(self) -> None:
        """Kill the plane as SIGKILL does."""

    @abstractmethod
    def halt(self) -> None:
        """Stop a process of the plane, as SIGSTOP does."""

    @abstractmethod
    def cut_off(self) -> None:
        """Remove a file that is needed to control the plane."""

    @abstractmethod
    def close(self) -> None:
        """Stop the plane and the servers."""


class FakeHarness(Harness):
    """The fake plane, whose checks and requests happen on demand."""

    def __init__(self, *, network: bool = False, zones: bool = False) -> None:
        super().__init__(network=network, zones=zones)
        self.plane: FakePlane = FakePlane()
        self._numbers: dict[str, int] = {}

    def endpoint(self, name: str) -> tuple[str, int]:
        if name not in self._numbers:
            self._numbers[name] = 1
            self.answer_checks(name, 200)
        return "192.0.2.1", 8000 + self._numbers[name]

    def replace_server(self, name: str) -> None:
        self._numbers[name] += 1

    def answer_checks(self, name: str, status: int) -> None:
        self.endpoint(name)
        passed = CheckFact("passed", passes=1, code=str(status))
        failed = CheckFact("mismatch", code=str(status), text=str(status))
        self.plane.answer_checks(name, passed if status == 200 else failed)

    def run_checks(self) -> None:
        self.plane.run_checks()

    def ask(self) -> str | None:
        chosen = self.plane.send(GROUP)
        if chosen is not None:
            self.plane.finish(GROUP, chosen)
        return chosen

    def hold(self) -> None:
        assert self.plane.send(GROUP) is None

    def begin(self, name: str) -> None:
        assert self.plane.send(GROUP) == name

    def finish(self, name: str) -> bool:
        known = self.plane.observe([GROUP]).targets.get(GROUP, {})
        alive = name in known and known[name].in_flight > 0
        self.plane.finish(GROUP, name)
        return alive

    def crash(self) -> None:
        self.plane.forget()

    def halt(self) -> None:
        self.plane.halt()

    def cut_off(self) -> None:
        self.plane.cut_off = True

    def close(self) -> None:
        self.plane.stop()


class HAProxyHarness(Harness):
    """A real HAProxy with servers on loopback."""

    patience = 10.0
    """Seconds in which a client gets its response."""

    def __init__(self, directory: Path, *, network: bool = False, zones: bool = False) -> None:
        super().__init__(network=network, zones=zones)
        directory.mkdir(mode=0o700)
        self._directory = directory
        self.plane: DataPlane = HAProxyPlane(directory)
        self._servers: dict[str, Backend] = {}
        self._all: list[Backend] = []
        self._asking: dict[str, tuple[threading.Thread, list[bool]]] = {}

    def endpoint(self, name: str) -> tuple[str, int]:
        if name not in self._servers:
            self.replace_server(name)
        target = self._servers[name].target
        return target.address, target.port

    def replace_server(self, name: str) -> None:
        self._servers[name] = self.new_server(name)
        self._all.append(self._servers[name])

    def new_server(self, name: str) -> Backend:
        """Start a server."""
        return Backend(name)

    def answer_checks(self, name: str, status: int) -> None:
        self.endpoint(name)
        self._servers[name].health = status

    def run_checks(self) -> None:
        """Do nothing, because HAProxy runs its checks itself."""

    def ask(self) -> str | None:
        try:
            return self._get("/")
        except (OSError, http.client.HTTPException):
            return None

    def hold(self) -> None:
        threading.Thread(target=self.ask, daemon=True).start()

    def begin(self, name: str) -> None:
        server, answered = self._servers[name], list[bool]()
        server.released.clear()
        before = server.requests

        def ask() -> None:
            with suppress(OSError, http.client.HTTPException):
                answered.append(self._get("/slow") == name)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        self._asking[name] = thread, answered
        until(lambda: server.requests == before + 1, f"the request reaches {name}")

    def finish(self, name: str) -> bool:
        for server in self._all:
            if server.name == name:
                server.released.set()
        thread, answered = self._asking.pop(name)
        thread.join(self.patience)
        return answered == [True]

    def crash(self) -> None:
        pid = self.plane.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: not self.plane.observe().running, "HAProxy is gone")

    def halt(self) -> None:
        for pid in processes(self._directory):
            os.kill(pid, signal.SIGSTOP)
        until(lambda: self.plane.stopped() == processes(self._directory), "HAProxy is stopped")

    def cut_off(self) -> None:
        # A master that has just started makes its socket once more before it answers.
        until(self._answers, "the master answers")
        (self._directory / MASTER_SOCKET).unlink()

    def _answers(self) -> bool:
        with suppress(BalancerFault):
            Runtime(self._directory).ping()
            return True
        return False

    def close(self) -> None:
        for server in self._all:
            server.end()
        self.plane.stop()

    def connect(self) -> http.client.HTTPConnection:
        """Return a client's new connection."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=DEADLINE)
        connection.connect()
        return connection

    def _get(self, path: str) -> Any:
        connection = self.connect()
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read().decode()
            return text if answer.status == 200 else None
        finally:
            connection.close()


class KernelHarness(HAProxyHarness):
    """HAProxy and the kernel in a network namespace, with servers and clients in another one behind a cable.

    The kernel carries the listener. The thread of the test is in the first namespace from the start to `close`.
    """

    host, other_host = "10.60.1.1", "10.60.1.4"
    # A client whose flow was cut gets a reset with its next packet, and waits for its response until then.
    patience = 2.0

    def __init__(self, directory: Path, *, zones: bool = False) -> None:
        self._opened = ExitStack()
        self._balancer, self._far = (self._opened.enter_context(closing(Namespace())) for _ in range(2))
        self._balancer.ip(
            f"link add cable type veth peer name cable netns {self._far.pid}",
            *(f"address add {host}/24 dev cable" for host in (self.host, self.other_host)),
            "link set cable up",
        )
        self._balancer.set(ipv4__ip_forward="1", ipv4__conf__all__send_redirects="0")
        self._far.ip("address add 10.60.1.2/24 dev cable", "address add 10.60.1.3/24 dev cable", "link set cable up")
        self._opened.enter_context(self._balancer.entered())
        super().__init__(directory, network=True, zones=zones)
        self.plane = FlowPlane(directory, HAProxyPlane(directory))

    def new_server(self, name: str) -> Backend:
        with self._far.entered():
            return Backend(name, "10.60.1.3")

    def connect(self) -> http.client.HTTPConnection:
        with self._far.entered():
            return super().connect()

    def halt(self) -> None:
        agent = flow_agent(self._directory).running()
        assert agent is not None
        os.kill(agent, signal.SIGSTOP)
        for pid in processes(self._directory):
            os.kill(pid, signal.SIGSTOP)
        until(lambda: self.plane.stopped() == (*processes(self._directory), agent), "both planes are stopped")

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._opened.close()

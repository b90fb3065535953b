"""A balancer with a real HAProxy in its own directory, and real loopback servers behind it."""

from __future__ import annotations

import contextlib
import http.client
import re
import threading
from pathlib import Path
from typing import Any

from pipeline.balancer.haproxy.control_socket import Runtime
from pipeline.balancer.model import Declaration, TargetHealth, TargetState
from pipeline.balancer.planes import open_balancer
from tests.support.backend import Backend
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE, until

OWNER = "shop"
GROUP = "web"


def declare(port: int, *, group: str = GROUP, health: dict[str, Any] | None = None, delay: str = "5s") -> Declaration:
    # On a busy machine, a healthy target may be late some times.
    check = {"path": "/healthz", "interval": "100ms", "timeout": "80ms", "unhealthy_threshold": 5, **(health or {})}
    return Declaration.model_validate(
        {
            "target_groups": {group: {"port": 8080, "health_check": check, "deregistration_delay": delay}},
            "load_balancers": {
                "edge": {"scheme": "internal", "listeners": [{"port": port, "default_action": {"forward": group}}]}
            },
        }
    )


class Bench:
    """A balancer with one port and the servers behind it."""

    def __init__(self, directory: Path) -> None:
        self.balancer = open_balancer(directory)
        self.port = free_port()
        self.backends: list[Backend] = []

    def backend(self, name: str) -> Backend:
        backend = Backend(name)
        self.backends.append(backend)
        return backend

    def health(self, name: str) -> TargetHealth | None:
        self.balancer.reconcile(OWNER, GROUP)
        found = [h for h in self.balancer.target_health(OWNER, GROUP) if h.target.id == name]
        return found[0] if found else None

    def await_state(self, name: str, state: TargetState) -> TargetHealth:
        def reached() -> TargetHealth | None:
            health = self.health(name)
            return health if health and health.state is state else None

        found = until(reached, f"{name} is {state}; it is {self.health(name)}")
        assert isinstance(found, TargetHealth)
        return found

    def serve(self, *names: str, health: dict[str, Any] | None = None) -> list[Backend]:
        """Declare the group, register these targets and wait until they are healthy."""
        self.balancer.apply(OWNER, declare(self.port, health=health))
        backends = [self.backend(name) for name in names]
        for backend in backends:
            self.balancer.register(OWNER, GROUP, backend.target)
        for name in names:
            self.await_state(name, TargetState.HEALTHY)
        return backends

    def worker(self) -> list[str]:
        """Return the identity of HAProxy's current worker, which changes with a reload."""
        return re.findall(r"^Pid: (\d+)", Runtime(self.balancer.directory).ask_worker("show info"), re.MULTILINE)

    def get(self, path: str = "/", port: int | None = None) -> tuple[int, str]:
        return self.ask("GET", path, port)

    def post(self, **headers: str) -> tuple[int, str]:
        return self.ask("POST", "/", body=b"once", headers={k.replace("_", "-"): v for k, v in headers.items()})

    def ask(self, method: str, path: str, port: int | None = None, **more: Any) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=DEADLINE)
        with contextlib.closing(connection):
            connection.request(method, path, **more)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def get_later(self, path: str) -> tuple[threading.Thread, list[object]]:
        """Send a request in a thread. Return the thread and the list that gets its answer or its error."""
        result: list[object] = []

        def ask() -> None:
            try:
                result.append(self.get(path))
            except (OSError, http.client.HTTPException) as error:
                result.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        return thread, result

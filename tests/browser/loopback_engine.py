"""An engine in memory whose replicas are servers on loopback, so that HAProxy sends real requests to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from ipaddress import IPv4Network
from typing import Any

from pipeline.engine import hosts
from pipeline.engine.container import ContainerSpec
from pipeline.engine.interfaces import ReplicaChange
from pipeline.engine.labels import LABEL_PIPELINE, LABEL_ROLE, ROLE_APP, ROLE_JOB, ROLE_TEST
from pipeline.testing.fakes.console import FakeConsole
from pipeline.testing.fakes.engine import FakeEngine
from pipeline.testing.fakes.engine_events import FakeEngineEvents
from pipeline.testing.fakes.program import Program
from tests.browser.loopback_targets import LoopbackTargets

PORT = "TARGET_PORT"
"""The variable of a replica that serves: its port."""
HEALTH = "TARGET_HEALTH"
"""The variable with the status of its health checks, by default 200."""
FAILING = "fail"
"""The command of tests that fail. `WAITING` waits until it is stopped, and any other one passes."""
WAITING = "wait"
REPORT = "/tmp/junit.xml"
"""The file of the report of tests that fail."""
_JUNIT = b"""<testsuite name="shop" tests="3" failures="1">
<testcase classname="test_cart" name="test_total"><failure message="assert 3 == 4">cart.py:7</failure></testcase>
<testcase classname="test_cart" name="test_empty"/>
<testcase classname="test_cart" name="test_add"/>
</testsuite>
"""


class LoopbackConsole(FakeConsole):
    """A console that has the output of the containers."""

    def __init__(self, engine: FakeEngine) -> None:
        super().__init__(engine)
        self._containers = engine.containers

    def log(
        self, container: str, since: bytes = b"", *, follow: bool = False, tail: int | None = None
    ) -> LoopbackLog | None:
        """Return the output of a container, as of now."""
        if not self._containers.has(container):
            return None
        return LoopbackLog(self._containers.logs(container, tail or 10_000), since)


class LoopbackLog:
    """Lines of output. Each has the time of its number as its time, because the fake containers keep none."""

    def __init__(self, lines: tuple[str, ...], since: bytes) -> None:
        stamped = (
            f"{datetime.fromtimestamp(number, UTC):%Y-%m-%dT%H:%M:%S}.000000000Z {line}".encode()
            for number, line in enumerate(lines)
        )
        self._lines: list[bytes] | None = [line for line in stamped if line >= since]

    def arrived(self) -> list[bytes] | None:
        """Return all lines once, then the end."""
        lines, self._lines = self._lines, None
        return lines

    def all(self) -> Iterator[bytes]:
        """Yield all lines."""
        yield from self._lines or ()

    def close(self) -> None:
        """Do nothing: there is no connection."""


class LoopbackEngine:
    """The engine, its events and its console. `install` puts them in the place of those of Docker."""

    def __init__(self, home: str, subnets: IPv4Network) -> None:
        self._targets = LoopbackTargets(self._exit, self._print)
        self._events: list[FakeEngineEvents] = []
        self.engine = FakeEngine(home, program=_program, subnets=subnets, on_change=self._on_change)

    def install(self) -> None:
        """Let this process use the engine. Call it before anything imports the daemon."""
        replacements: dict[str, Any] = {
            "local_engine": lambda *_: self.engine,
            "local_events": lambda *_: self._new_events(),
            "local_console": lambda *_: LoopbackConsole(self.engine),
        }
        for name, replacement in replacements.items():
            setattr(hosts, name, replacement)

    def _new_events(self) -> FakeEngineEvents:
        self._events.append(FakeEngineEvents())
        return self._events[-1]

    def _on_change(self, spec: ContainerSpec, code: int | None) -> None:
        """Start or stop the server of a container, then report it as the engine would."""
        if spec.labels.get(LABEL_ROLE) != ROLE_APP:
            return
        if code is not None:
            self._targets.stop(spec.name)
        elif (port := spec.environment.get(PORT)) and spec.address:
            self._targets.start(spec.name, spec.address, int(port), int(spec.environment.get(HEALTH, 200)))
        for events in self._events:
            events.report(ReplicaChange(spec.labels[LABEL_PIPELINE], spec.name, code))

    def _exit(self, container: str, code: int) -> None:
        self.engine.containers.exit(container, code)

    def _print(self, container: str, line: str) -> None:
        self.engine.containers.print(container, line)


def _program(spec: ContainerSpec) -> Program:
    role, command = spec.labels.get(LABEL_ROLE), spec.command or ()
    files: Mapping[str, bytes] = {REPORT: _JUNIT}
    if role == ROLE_TEST and WAITING not in command:
        if FAILING in command:
            return Program(("1 of 3 tests failed",), exit_code=1, files=files)
        return Program(("3 tests passed",), exit_code=0)
    if role == ROLE_JOB:
        return Program(("cleaned 3 carts",), exit_code=0)
    return Program((f"{spec.name} started",))

"""Hosts with fake engines, which are lost and come back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from pipeline.base.errors import EngineFault
from pipeline.engine.host import HostSpec
from pipeline.engine.hosts import host_at, runtime_on
from pipeline.engine.hosts_runtime import HostsRuntime
from pipeline.engine.placement import Placement
from pipeline.engine.reachable_host import HostChange, OpenHost, ReachableHost
from pipeline.testing.fakes.clock import FakeClock
from pipeline.testing.fakes.engine import FakeEngine

LOST_AFTER = timedelta(seconds=10)


class HostWorld:
    """Hosts in zones, with fake engines.

    With a `clock` that waiting moves, a host is lost as soon as something waits for it. Otherwise a test moves the time
    of the hosts. No connection can be made to `unreachable` ones. `failures` keep this machine from a connection.
    """

    def __init__(self, zones: dict[str, str], clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self._waiting = clock or FakeClock(auto_advance=True)
        self.zones = zones
        self.engines = {name: FakeEngine() for name in zones}
        for engine in self.engines.values():
            engine.images.add("app")
        self.unreachable: set[str] = set()
        self.failures: dict[str, Exception] = {}
        self.connections = Counter[str]()
        self.closed = Counter[str]()
        self.changes: list[HostChange] = []

    def runtime(
        self,
        placement: Placement = Placement.SPREAD,
        silence: timedelta = LOST_AFTER * 6,
        on_change: Callable[[HostChange], object] | None = None,
        **options: Any,
    ) -> HostsRuntime:
        """Return a runtime that is not connected yet. By default, the changes of its hosts are kept in `changes`."""
        tell = on_change or self.changes.append
        hosts = [
            ReachableHost(name, zone, self.connector(name), on_change=tell, lost_after=LOST_AFTER, clock=self.clock)
            for name, zone in self.zones.items()
        ]
        return HostsRuntime(hosts, placement, silence=silence, clock=self._waiting, **options)

    def connector(self, name: str) -> Callable[[], OpenHost]:
        """Return what connects to a host."""

        def connect() -> OpenHost:
            if name in self.failures:
                raise self.failures[name]
            if name in self.unreachable:
                raise EngineFault(f"host {name} (ssh://{name}): {name} does not respond", hint="look")
            self.connections[name] += 1
            host = host_at(HostSpec(name, f"ssh://{name}", self.zones[name]), self.engines[name])
            return OpenHost(runtime_on(host), host.engine, lambda: self.closed.update([name]))

        return connect

    def lose(self, name: str) -> None:
        """Let a host be unreachable."""
        self.unreachable.add(name)
        self.engines[name].faults.go_away()

    def bring_back(self, name: str) -> None:
        """Let a host be reachable, with its containers."""
        self.unreachable.discard(name)
        self.engines[name].faults.come_back()

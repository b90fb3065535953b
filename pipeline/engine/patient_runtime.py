"""The runtime of a deployment on several hosts, which outlasts their silence."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from pipeline.base.errors import EngineFault, HostLost
from pipeline.engine.hosts_runtime import HostsRuntime
from pipeline.engine.runtime import Replica, ReplicaEnd, ReplicaSpec, RestartPolicy, StopResult

T = TypeVar("T")
# Repetitions of a call while its host answers again each time.
_ATTEMPTS = 3


class PatientRuntime:
    """A `Runtime` that waits for hosts that do not answer, until they do or are lost. See `HostsRuntime`.

    So the silence of one host delays a rollout and does not end it, and a fault of a host that answers does. Raises
    `EngineFault` if all hosts are lost, and `HostLost` if the host of a start is.
    """

    def __init__(self, hosts: HostsRuntime) -> None:
        self._hosts = hosts

    @property
    def lost(self) -> tuple[str, ...]:
        """The names of the hosts whose replicas the last `list` of this thread lacks."""
        return self._hosts.lost

    def prepare(self, pipeline: str) -> None:
        """Create the pipeline's network on every host that takes replicas."""
        self._patiently(lambda: self._hosts.prepare(pipeline))

    def list(self, pipeline: str) -> tuple[Replica, ...]:
        """Return every replica on the hosts that are not lost."""
        return self._patiently(lambda: self._hosts.list(pipeline))

    def start(self, spec: ReplicaSpec) -> None:
        """Start a replica. If its host is lost meanwhile, it may run there, and is not started elsewhere."""

        def start() -> None:
            host = self._hosts.started_on(spec.name)
            if host is not None and self._hosts.is_lost(host):
                raise HostLost(f"{spec.name} was started on host {host}, which is lost")
            self._hosts.start(spec)

        self._patiently(start)

    def set_restart_policy(self, name: str, policy: RestartPolicy) -> None:
        """Set what happens when the replica's process exits."""
        self._patiently(lambda: self._hosts.set_restart_policy(name, policy))

    def stop(self, name: str, grace: timedelta) -> StopResult:
        """Send SIGTERM, and SIGKILL after `grace`. Returns when the process has exited."""
        return self._patiently(lambda: self._hosts.stop(name, grace))

    def remove(self, name: str) -> None:
        """Remove a replica, running or not. One on a lost host is listed again when the host is back."""
        self._patiently(lambda: self._hosts.remove(name))

    def ended(self, name: str) -> ReplicaEnd | None:
        """Return how the replica's last process ended, or None if the replica is gone or its host is lost."""
        return self._patiently(lambda: self._hosts.ended(name))

    def tail(self, name: str, lines: int = 20) -> tuple[str, ...]:
        """Return the last lines of output, or nothing if the replica is gone or its host is lost."""
        return self._patiently(lambda: self._hosts.tail(name, lines))

    def clear(self, pipeline: str) -> None:
        """Remove the pipeline's networks. Raises `HostLost` if a host is lost, after the others are cleared."""
        self._hosts.clear(pipeline)

    def _patiently(self, call: Callable[[], T]) -> T:
        """Repeat a call after a fault, once each host has answered or is lost."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return call()
            except HostLost:
                raise
            except EngineFault:
                self._hosts.check()
        return call()

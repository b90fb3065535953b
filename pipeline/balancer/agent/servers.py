"""The targets as HAProxy has them, which an agent follows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.balancer.haproxy.control_socket import NotRunning, Runtime
from pipeline.balancer.haproxy.naming import fail_open_backend_of, target_of
from pipeline.balancer.haproxy.statistics import Statistics


class Server(NamedTuple):
    """A target as HAProxy has it. `is_open`: it is admitted. `is_up`: it is healthy, or not checked.

    `is_spare`: it is in a zone that is shifted away, so it gets flows only if too few others are healthy.
    """

    target: str
    endpoint: str
    is_open: bool
    is_up: bool
    is_spare: bool = False


Servers = Mapping[str, Sequence[Server]]
"""By backend, which is that of a pool of a target group."""


class ServerReader:
    """Reads the servers of some backends. While HAProxy does not run, they stay as they were."""

    def __init__(self, directory: Path) -> None:
        self._runtime = Runtime(directory)
        self._known: Servers | None = None

    def read(self, backends: Collection[str], used: Collection[str]) -> Servers | None:
        """Return the servers, or None if HAProxy did not run yet.

        HAProxy is loaded before the file of what is wanted is written. If it reports between, it has no backend that
        the former file names. The servers of such a backend stay if it is among the `used` ones.
        """
        try:
            found = self._runtime.current_statistics(_with_fail_open(backends)) if backends else Statistics()
        except NotRunning:
            return self._known
        missing = set(used) - found.backends
        former = {id_: servers for id_, servers in (self._known or {}).items() if id_ in missing}
        self._known = {**former, **_by_backend(found)}
        return self._known


def _with_fail_open(backends: Collection[str]) -> list[str]:
    return [each for backend in backends for each in (backend, fail_open_backend_of(backend))]


def _by_backend(statistics: Statistics) -> Servers:
    found: dict[str, dict[str, Server]] = {}
    # A target that has only its fail-open server in a pool is in a zone that is shifted away.
    for (backend, name), state in sorted(statistics.servers.items(), key=lambda each: _is_fail_open(each[0])):
        if state.address:
            is_up, target = state.status.startswith(("UP", "no check")), target_of(name)
            server = Server(target, state.address, not state.is_closed, is_up, _is_fail_open((backend, name)))
            found.setdefault(backend.removesuffix(fail_open_backend_of("")), {}).setdefault(target, server)
    return {backend: tuple(servers.values()) for backend, servers in found.items()}


def _is_fail_open(key: tuple[str, str]) -> bool:
    return target_of(key[1]) != key[1] or key[0].endswith(fail_open_backend_of(""))

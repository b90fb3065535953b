"""The containers of several hosts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Protocol, TypeVar

from pipeline.base.errors import EngineFault
from pipeline.engine.container import Container
from pipeline.engine.host_links import HostLinks
from pipeline.engine.interfaces import CpuTime, ExistingContainers
from pipeline.engine.labels import ROLE_APP

R = TypeVar("R")


class WithContainers(Protocol):
    """An engine, or a Swarm in place of one."""

    @property
    def containers(self) -> ExistingContainers:
        """Its containers."""

    def close(self) -> None:
        """Close the connection."""


class HostsContainers:
    """The containers of one home on several hosts. See `ExistingContainers`. Safe from any thread.

    A call for a container goes to the host that has listed it. Another container is searched by its name. A host that
    does not answer is left out of lists. A call for a container that may be on it raises `EngineFault`.
    """

    def __init__(self, links: HostLinks[WithContainers]) -> None:
        self._links = links
        self._lock = threading.Lock()
        # The host of each container as listed last, by its id and by its name.
        self._listed: dict[tuple[str, str], dict[str, str]] = {}
        self._missing: Mapping[str, EngineFault] = {}

    @property
    def missing(self) -> Mapping[str, EngineFault]:
        """The hosts that did not answer the last list, with the reason."""
        return self._missing

    def for_pipeline(self, pipeline: str, role: str = ROLE_APP) -> list[Container]:
        """Return the containers on the hosts that answer. Raises `EngineFault` if none of them does."""
        answers = self._links.ask(lambda engine: engine.containers.for_pipeline(pipeline, role))
        self._missing = answers.missing
        answers.check()
        found = [(host, each) for host, listed in answers.found.items() for each in listed]
        with self._lock:
            self._listed[pipeline, role] = {key: host for host, each in found for key in (each.id, each.name)}
        # A Swarm names the node itself.
        return [each if each.host else replace(each, host=host) for host, each in found]

    def find(self, name: str) -> Container | None:
        """Return the home's container of that name, in any state, or None."""
        answers = self._links.ask(lambda engine: engine.containers.find(name))
        for host, found in answers.found.items():
            if found is not None:
                return replace(found, host=host)
        if answers.missing:
            raise next(iter(answers.missing.values()))
        return None

    def inspect(self, container: str) -> Container:
        """Return one container in full. Raises `EngineFault` if it is gone."""
        host = self._host_of(container)
        if host is None:
            raise EngineFault(f"No such container: {container}")
        return replace(self._links.limited(host, lambda engine: engine.containers.inspect(container)), host=host)

    def kill(self, container: str, signal: str = "SIGKILL") -> None:
        """Send a signal."""
        self._limited(container, lambda containers: containers.kill(container, signal), None)

    def remove(self, container: str) -> None:
        """Remove a container and its anonymous volumes, running or not."""
        self._limited(container, lambda containers: containers.remove(container), None)

    def logs(self, container: str, tail: int = 20) -> tuple[str, ...]:
        """Return the last lines of output, or nothing if the container is gone."""
        return self._limited(container, lambda containers: containers.logs(container, tail), ())

    def exec(self, container: str, command: Sequence[str], limit: timedelta, cancelled: threading.Event) -> int | None:
        """Run a command in a container and return its exit code, or None. See `ExistingContainers`."""
        return self._limited(
            container, lambda containers: containers.exec(container, command, limit, cancelled), None, limit
        )

    def cpu_time(self, container: str) -> CpuTime | None:
        """Return the CPU time of a container, or None if it does not run."""
        return self._limited(container, lambda containers: containers.cpu_time(container), None)

    def cpus(self, container: str) -> int | None:
        """Return the number of processors of the host of a container, or None if the container is gone."""
        return self._limited(container, lambda containers: containers.cpus(container), None)

    def close(self) -> None:
        """Close the connections to all hosts."""
        self._links.close()

    def _limited(
        self, container: str, work: Callable[[ExistingContainers], R], absent: R, limit: timedelta = timedelta(0)
    ) -> R:
        """Call the host of a container. Returns `absent` if no host has it."""
        host = self._host_of(container)
        return absent if host is None else self._links.limited(host, lambda engine: work(engine.containers), limit)

    def _host_of(self, container: str) -> str | None:
        with self._lock:
            listed = next((hosts[container] for hosts in self._listed.values() if container in hosts), None)
        if listed is not None:
            return listed
        found = self.find(container)
        return found.host if found else None

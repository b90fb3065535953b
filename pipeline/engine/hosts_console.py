"""Commands in the containers of several hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.base.errors import EngineFault, StageFailed
from pipeline.engine.console import Console, LogStream, Process
from pipeline.engine.container import Container
from pipeline.engine.host_links import HostLinks


class HostsConsole:
    """The console of one home on several hosts. See `Console`.

    A call for a container goes to the host that has listed it. Another container is searched. A host that does not
    answer is left out of lists. A call for a container that may be on it raises `EngineFault`.
    """

    def __init__(self, links: HostLinks[Console]) -> None:
        self._links = links
        # The host of each container as listed last, by its id and by its name.
        self._listed: dict[str, dict[str, str]] = {}
        self._missing: Mapping[str, EngineFault] = {}

    @property
    def missing(self) -> Mapping[str, EngineFault]:
        """The hosts that did not answer the last call of `containers`, with the reason."""
        return self._missing

    def containers(self, pipeline: str) -> list[Container]:
        """Return every container of a pipeline on the hosts that answer. Raises `EngineFault` if none of them does."""
        answers = self._links.ask(lambda console: console.containers(pipeline))
        self._missing = answers.missing
        answers.check()
        found = [(host, each) for host, listed in answers.found.items() for each in listed]
        self._listed[pipeline] = {key: host for host, each in found for key in (each.id, each.name)}
        # A Swarm names the node itself.
        return [each if each.host else replace(each, host=host) for host, each in found]

    def has(self, container: str) -> bool:
        """Return whether one of the hosts has a container of the home by that name or id."""
        return self._search(container) is not None

    def log(
        self, container: str, since: bytes = b"", *, follow: bool = False, tail: int | None = None
    ) -> LogStream | None:
        """Return the output that the engine has kept, or None if the container or its log is gone."""
        host = self._host_of(container)
        if host is None:
            return None
        return self._links.call(host, lambda console: console.log(container, since, follow=follow, tail=tail))

    def exec(self, container: str, command: Sequence[str], *, tty: bool) -> Process:
        """Start a command in a container that runs."""
        host = self._existing(container)
        return self._links.call(host, lambda console: console.exec(container, command, tty=tty))

    def copy(
        self, container: str, name: str, command: Sequence[str], *, tty: bool, entrypoint: Sequence[str] | None = None
    ) -> Process:
        """Start a container like another one, on its host."""
        host = self._existing(container)
        return self._links.call(
            host, lambda console: console.copy(container, name, command, tty=tty, entrypoint=entrypoint)
        )

    def remove(self, container: str) -> None:
        """Remove a container, running or not. Does nothing if it is gone."""
        if host := self._host_of(container):
            self._links.limited(host, lambda console: console.remove(container))

    def close(self) -> None:
        """Close the connections to all hosts. The processes that were started in containers lose theirs."""
        self._links.close()

    def _existing(self, container: str) -> str:
        host = self._host_of(container)
        if host is None:
            raise StageFailed(f"No such container: {container}")
        return host

    def _host_of(self, container: str) -> str | None:
        listed = next((hosts[container] for hosts in self._listed.values() if container in hosts), None)
        return listed or self._search(container)

    def _search(self, container: str) -> str | None:
        answers = self._links.ask(lambda console: console.has(container))
        host = next((host for host, has in answers.found.items() if has), None)
        if host is None and answers.missing:
            raise next(iter(answers.missing.values()))
        return host

"""Containers with logs, in place of those of an engine."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from pipeline.base.errors import EngineFault
from pipeline.engine.container import Container
from pipeline.engine.labels import (
    LABEL_ACCESSORY,
    LABEL_RELEASE,
    LABEL_ROLE,
    LABEL_SERVICE,
    ROLE_ACCESSORY,
    ROLE_APP,
)


class FakeLog:
    """The log of one container. A stream ends when the process does, and may lose the last lines."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.state = "running"
        self.ended: set[int] = set()


class FakeStream:
    """A stream of a log from a line on."""

    def __init__(self, log: FakeLog, since: bytes, tail: int | None = None) -> None:
        self.log = log
        first = next((i for i, line in enumerate(log.lines) if line >= since), len(log.lines))
        self._next = first if tail is None else max(first, len(log.lines) - tail)

    def arrived(self) -> list[bytes] | None:
        """Return the next lines, None after the end."""
        lines, self._next = self.log.lines[self._next :], len(self.log.lines)
        return lines or (None if self.log.state != "running" or id(self) in self.log.ended else [])

    def all(self) -> Iterator[bytes]:
        """Yield the lines that are left."""
        yield from self.log.lines[self._next :]

    def close(self) -> None:
        """Nothing to close."""


class FakeConsole:
    """Containers with logs, by their names."""

    def __init__(self) -> None:
        self.logs: dict[str, FakeLog] = {}
        self.streams: list[FakeStream] = []
        self.hosts: dict[str, str] = {}
        self.missing: dict[str, EngineFault] = {}
        self.fault: EngineFault | None = None

    def containers(self, pipeline: str) -> list[Container]:
        """Return those whose host answers. Raises `fault`."""
        if self.fault:
            raise self.fault
        found = [(name, self.hosts.get(name, ""), log) for name, log in self.logs.items()]
        return [container(name, log.state, host) for name, host, log in found if host not in self.missing]

    def log(
        self, container: str, since: bytes = b"", *, follow: bool = False, tail: int | None = None
    ) -> FakeStream | None:
        """Return the output of a container. Raises the fault of its host."""
        if container not in self.logs:
            return None
        if fault := self.missing.get(self.hosts.get(container, "")):
            raise fault
        self.streams.append(FakeStream(self.logs[container], since, tail))
        return self.streams[-1]

    def close(self) -> None:
        """There is no connection to close."""

    def print(self, name: str, *lines: str) -> None:
        """Let a container print lines, which makes it if it does not exist."""
        self.logs.setdefault(name, FakeLog()).lines.extend(line.encode() for line in lines)


def container(name: str, state: str, host: str = "") -> Container:
    """Return a replica, or the accessory `db` if the name is that of one."""
    _, service, release, _ = name.split(".")
    labels = {LABEL_ROLE: ROLE_ACCESSORY, LABEL_ACCESSORY: service}
    if release.startswith("r"):
        labels = {LABEL_ROLE: ROLE_APP, LABEL_SERVICE: service, LABEL_RELEASE: release[1:]}
    return Container(name, name, state, "", labels, "", datetime.now(UTC), host=host)


def stamped(number: int, text: str = "") -> str:
    """Return a line with its time."""
    return f"2026-01-02T03:04:05.{number:09}Z {text or number}"

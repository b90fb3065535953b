"""Commands in the containers of a fake engine."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from pipeline.base.errors import EngineFault, StageFailed
from pipeline.engine.console import LogStream
from pipeline.engine.container import Container
from pipeline.testing.fakes.engine import FakeEngine


class FakeProcess:
    """A command that has read its input, and writes what its program says."""

    def __init__(self, outputs: tuple[bytes, bytes], code: int, received: bytearray) -> None:
        self._outputs = outputs
        self._code = code
        self._received = received
        self._ended = threading.Event()

    def output(self) -> Iterator[tuple[bool, bytes]]:
        """Yield the output, then the errors, once the input has ended."""
        self._ended.wait()
        for is_error, data in zip((False, True), self._outputs, strict=True):
            if data:
                yield is_error, data

    def write(self, data: bytes) -> None:
        """Keep the input."""
        if not self._ended.is_set():
            self._received += data

    def end_input(self) -> None:
        """Let the command write its output."""
        self._ended.set()

    def resize(self, rows: int, columns: int) -> None:
        """Do nothing: there is no terminal."""

    def signal(self, name: str) -> None:
        """Do nothing, as an engine that has no signals for commands."""

    def wait(self) -> int:
        """Return the exit code."""
        return self._code

    def close(self) -> None:
        """End the output."""
        self._ended.set()


class FakeConsole:
    """The console of a fake engine. `received` is the input of each command so far."""

    missing: Mapping[str, EngineFault] = MappingProxyType({})

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine
        self.received: dict[tuple[str, ...], bytearray] = {}

    def containers(self, pipeline: str) -> list[Container]:
        """Return every container of a pipeline, in any state and of any role."""
        with self._engine.faults.call("console.containers"):
            return self._engine.containers.all(pipeline)

    def has(self, container: str) -> bool:
        """Return whether there is a container by that name or id."""
        with self._engine.faults.call("console.has"):
            return self._engine.containers.has(container)

    def log(
        self, container: str, since: bytes = b"", *, follow: bool = False, tail: int | None = None
    ) -> LogStream | None:
        """Return None, as an engine whose log driver keeps nothing."""
        return None

    def exec(self, container: str, command: Sequence[str], *, tty: bool) -> FakeProcess:
        """Start a command that the program of the container has."""
        with self._engine.faults.call("console.exec"):
            program, wanted = self._engine.containers.program_of(container), tuple(command)
            if program is None:
                raise StageFailed(f"container {container} is not running")
            if wanted not in program.commands:
                raise StageFailed(f"{wanted[0]}: executable file not found")
            received = self.received[wanted] = bytearray()
            return FakeProcess(program.outputs.get(wanted, (b"", b"")), program.commands[wanted], received)

    def copy(
        self, container: str, name: str, command: Sequence[str], *, tty: bool, entrypoint: Sequence[str] | None = None
    ) -> FakeProcess:
        """Refuse: a fake container has nothing to copy."""
        raise StageFailed(f"{name} cannot be started: the fake engine copies no container")

    def remove(self, container: str) -> None:
        """Remove a container."""
        self._engine.containers.remove(container)

    def close(self) -> None:
        """Do nothing: there is no connection to close."""

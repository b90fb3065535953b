"""The interface for commands that a user runs in containers, with the user's own terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from pipeline.base.errors import EngineFault
from pipeline.engine.container import Container
from pipeline.engine.interfaces import ExistingContainers
from pipeline.engine.labels import LABEL_ROLE, ROLE_CONSOLE

STAMP_LENGTH = 30
"""The length of the time at the start of each line of a container's output."""


class Process(Protocol):
    """A process in a container, attached to this one.

    One thread reads `output`, another may write. Methods raise `EngineFault` if the engine does not respond.
    """

    def output(self) -> Iterator[tuple[bool, bytes]]:
        """Yield what the process writes until it closes its output: whether it is of stderr, and the bytes.

        With a terminal, all of it is of stdout.
        """

    def write(self, data: bytes) -> None:
        """Write to the process's input. Does nothing if the process does not read it any more."""

    def end_input(self) -> None:
        """Close the process's input."""

    def resize(self, rows: int, columns: int) -> None:
        """Set the size of its terminal. Does nothing for a process that is over."""

    def signal(self, name: str) -> None:
        """Send it a signal, such as SIGINT, if the engine can."""

    def wait(self) -> int:
        """Return its exit code, after its end. Called after `output` has ended."""

    def close(self) -> None:
        """Close the connections, and remove a container that was made for the process. Safe to repeat."""


class LogStream(Protocol):
    """The output of a container: lines of bytes without their end, in the engine's order.

    A line begins with the time at which the engine got it, `STAMP_LENGTH` characters of UTC that sort like times, and
    a space. One thread uses a stream. Methods raise `EngineFault` if the engine does not respond.
    """

    def arrived(self) -> list[bytes] | None:
        """Return the lines that have arrived, without waiting. None after the end."""

    def all(self) -> Iterator[bytes]:
        """Yield every line until the end."""

    def close(self) -> None:
        """Close the connection. Safe to repeat."""


class Console(Protocol):
    """Runs commands in the containers of one home.

    Raises `StageFailed` if a command cannot be started, and `EngineFault` if the engine does not respond.
    """

    @property
    def missing(self) -> Mapping[str, EngineFault]:
        """The hosts that did not answer the last call of `containers`, with the reason. Empty for a single engine."""

    def containers(self, pipeline: str) -> list[Container]:
        """Return every container of a pipeline, in any state and of any role."""

    def has(self, container: str) -> bool:
        """Return whether there is a container of the home by that name or id."""

    def log(
        self, container: str, since: bytes = b"", *, follow: bool = False, tail: int | None = None
    ) -> LogStream | None:
        """Return the output that the engine has kept, or None if the container or its log is gone.

        `since`: from the time of this line on. `tail`: at most so many lines of those that exist, the last ones. With
        `follow`, the stream ends when the process does.
        """

    def exec(self, container: str, command: Sequence[str], *, tty: bool) -> Process:
        """Start a command in a container that runs."""

    def copy(
        self, container: str, name: str, command: Sequence[str], *, tty: bool, entrypoint: Sequence[str] | None = None
    ) -> Process:
        """Start a container like another one: its image, environment, volumes, limits and network, but no port.

        Without a `command`, it runs that of the other. None keeps the entrypoint. The engine removes the container
        after its end.
        """

    def remove(self, container: str) -> None:
        """Remove a container, running or not. Does nothing if it is gone."""

    def close(self) -> None:
        """Close the connections, those of processes excepted. Safe to repeat."""


def abandoned(containers: Sequence[Container], is_owned: Callable[[str], bool]) -> list[Container]:
    """Return the containers of commands whose process was killed. `is_owned` is called with a container's name."""
    found = (each for each in containers if each.labels.get(LABEL_ROLE) == ROLE_CONSOLE)
    return [each for each in found if not is_owned(each.name)]


def remove_abandoned(
    containers: ExistingContainers, pipeline: str, is_owned: Callable[[str], bool] = lambda _: False
) -> None:
    """Remove the containers of commands whose process was killed. By default, remove them all."""
    for each in abandoned(containers.for_pipeline(pipeline, ROLE_CONSOLE), is_owned):
        containers.remove(each.id)

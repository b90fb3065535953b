"""A container for one task, removed afterwards: tests, a service beside them, or a release command."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from pipeline.base.errors import Cancelled, EngineFault
from pipeline.engine.container import Container, ContainerSpec, ran_out_of_memory
from pipeline.engine.interfaces import Containers

_POLL_INTERVAL = 0.05
_TAIL = 20
# Seconds that the last output may take to arrive after the process has exited.
_OUTPUT_TIMEOUT = 5


@dataclass(frozen=True)
class TaskResult:
    """The result of a task. If it was stopped, `in_time` is False and `exit_code` is that of the stopped process."""

    exit_code: int
    oom_killed: bool
    in_time: bool

    @property
    def ran_out_of_memory(self) -> bool:
        """True if the task's own process was killed for its memory limit. `oom_killed` alone may mean a child of it."""
        return ran_out_of_memory(self.oom_killed, self.exit_code)


class Task:
    """A container that starts on entering the block and is removed on leaving it.

    `on_output` gets each line of output.
    """

    def __init__(self, containers: Containers, spec: ContainerSpec, on_output: Callable[[str], None]) -> None:
        self._containers = containers
        self._spec = spec
        self._on_output = on_output
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._reader = threading.Thread(target=self._read, name=f"output of {spec.name}", daemon=True)
        self._read_error: BaseException | None = None
        self._closed = threading.Event()
        self.container = ""

    def __enter__(self) -> Self:
        self.container = self._containers.start(self._spec)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._containers.remove(self.container)
        self._reader.join(timeout=_OUTPUT_TIMEOUT)

    @property
    def tail(self) -> tuple[str, ...]:
        """The last lines of output. All lines have reached `on_output` once the process has exited."""
        if self.inspect().state != "running":
            self._reader.join(timeout=_OUTPUT_TIMEOUT)
        return tuple(self._tail)

    def inspect(self) -> Container:
        """Return the container in full."""
        return self._containers.inspect(self.container)

    def wait(
        self, timeout: timedelta, grace: timedelta, cancelled: threading.Event, watch: Callable[[], None] | None = None
    ) -> TaskResult:
        """Wait until the process exits. After `timeout`, or when `cancelled` is set, stop it with `grace`.

        `watch` is called repeatedly, and what it raises ends the waiting. Raises `Cancelled` if cancelled.
        """
        deadline = time.monotonic() + timeout.total_seconds()
        in_time = True
        while (now := self.inspect()).state == "running":
            if cancelled.is_set() or time.monotonic() > deadline:
                in_time = False
                self._containers.stop(self.container, grace)
                continue
            if watch:
                watch()
            cancelled.wait(_POLL_INTERVAL)
        if cancelled.is_set():
            raise Cancelled("cancelled")
        self._reader.join(timeout=_OUTPUT_TIMEOUT)
        if self._read_error:
            raise self._read_error
        return TaskResult(now.exit_code or 0, now.oom_killed, in_time)

    def _read(self) -> None:
        """Pass on every line once, also if the connection to the engine fails in between."""
        read = 0
        while not self._closed.is_set():
            try:
                for number, line in enumerate(self._containers.stream(self.container)):
                    if number >= read:
                        read = number + 1
                        self._tail.append(line)
                        self._on_output(line)
            except EngineFault:
                self._closed.wait(_POLL_INTERVAL)
            except BaseException as error:  # noqa: BLE001  # `wait` raises it
                self._read_error = error
                return
            else:
                return

"""A command in the container of an accessory, with a limit of time."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import timedelta

from pipeline.base.errors import Cancelled, PenstockError, StageFailed
from pipeline.base.quantity import format_duration
from pipeline.engine.console import Process

_TAIL = 20
_POLL_INTERVAL = 0.2
# For a write that the end of the connection interrupts.
_END_TIMEOUT = 5.0
# Chunks that wait for the disk. More would fill the memory.
_MAX_WAITING = 16


class ContainerCommand:
    """Runs one command to its end. `name` is what it is for, such as `backup of db`."""

    def __init__(self, process: Process, name: str, limit: timedelta, cancelled: threading.Event) -> None:
        self._process = process
        self._name = name
        self._limit = limit
        self._cancelled = cancelled
        self._given_up = threading.Event()
        self._arrived: queue.Queue[tuple[bool, bytes] | int | PenstockError] = queue.Queue(_MAX_WAITING)
        self._errors = bytearray()

    def run(self, on_output: Callable[[bytes], object], given: Iterable[bytes] = ()) -> None:
        """Pass what it prints to `on_output`, and give it an input.

        Raises `StageFailed` with its last error lines if it fails or takes longer than the limit, and `Cancelled`. The
        command may then still run in its container, until it notices that its output is closed.
        """
        threading.Thread(target=self._read, name=self._name, daemon=True).start()
        writer = threading.Thread(target=self._write, args=(given,), name=f"input of {self._name}", daemon=True)
        writer.start()
        try:
            code = self._follow(on_output)
        finally:
            self._given_up.set()
            self._process.close()
            # The caller closes the file that it reads.
            writer.join(_END_TIMEOUT)
        if code != 0:
            raise self._failure(f"{self._name} failed with exit code {code}")

    @property
    def tail(self) -> tuple[str, ...]:
        """The last lines that it has written to its standard error."""
        return tuple(deque(self._errors.decode(errors="replace").splitlines(), maxlen=_TAIL))

    def _follow(self, on_output: Callable[[bytes], object]) -> int:
        deadline = time.monotonic() + self._limit.total_seconds()
        while True:
            if self._cancelled.is_set():
                raise Cancelled(f"{self._name} was cancelled")
            if time.monotonic() > deadline:
                raise self._failure(f"{self._name} was still running after {format_duration(self._limit)}")
            try:
                found = self._arrived.get(timeout=_POLL_INTERVAL)
            except queue.Empty:
                continue
            if isinstance(found, PenstockError):
                raise found
            if isinstance(found, int):
                return found
            is_error, data = found
            if is_error:
                self._errors += data
                del self._errors[:-65536]
            else:
                on_output(data)

    def _read(self) -> None:
        try:
            for part in self._process.output():
                if not self._put(part):
                    return
            self._put(self._process.wait())
        except PenstockError as error:
            self._put(error)
        except OSError as error:
            self._put(StageFailed(f"{self._name}: lost the connection to the container: {error}"))

    def _put(self, found: tuple[bool, bytes] | int | PenstockError) -> bool:
        """Hand over to the other thread. Return False if it does not want any more."""
        while not self._given_up.is_set():
            try:
                self._arrived.put(found, timeout=_POLL_INTERVAL)
            except queue.Full:
                continue
            return True
        return False

    def _write(self, given: Iterable[bytes]) -> None:
        for data in given:
            self._process.write(data)
            if self._given_up.is_set():
                return
        self._process.end_input()

    def _failure(self, message: str) -> StageFailed:
        return StageFailed(message, tail=self.tail)

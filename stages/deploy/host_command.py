"""A program on this machine that a hook runs."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from pipeline.base.errors import Cancelled, StageFailed
from pipeline.base.quantity import format_duration

_POLL_MILLISECONDS = 50
_POLL_SECONDS = _POLL_MILLISECONDS / 1000
_TAIL = 20
_BLOCK = 65536
# A longer line is cut into several.
_MAX_LINE = 65536
# For the output that is left when the program has exited.
_LAST_OUTPUT_SECONDS = 2.0
KILL_SECONDS = 5.0
"""A program that is killed is gone within this time, unless it may not be killed."""


class HostCommand:
    """A program with its arguments, which runs in a folder without input, in a session of its own.

    `noun` is what errors call it. `on_output` gets each line of its output and of its errors.
    """

    def __init__(
        self,
        noun: str,
        command: tuple[str, ...],
        directory: Path,
        environment: Mapping[str, str],
        on_output: Callable[[str], None],
    ) -> None:
        self._noun = noun
        self._command = command
        self._directory = directory
        self._environment = dict(environment)
        self._on_output = on_output
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._rest = b""

    def run(self, timeout: timedelta, grace: timedelta, cancelled: threading.Event) -> None:
        """Run the program to its end.

        After `timeout`, or when `cancelled` is set, it gets SIGTERM with all that it has started, and SIGKILL after
        `grace`. Raises `StageFailed` if it cannot be started, fails or takes too long, and `Cancelled`.
        """
        process = self._start()
        try:
            in_time = self._follow(process, time.monotonic() + timeout.total_seconds(), cancelled)
            if not in_time or cancelled.is_set():
                self._stop(process, grace)
        except BaseException:
            _kill(process)
            raise
        finally:
            self._end_output(process)
        self._judge(process.returncode, timeout, in_time=in_time, was_cancelled=cancelled.is_set())

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                env=self._environment,
                # What it starts would otherwise survive it, and Ctrl-C would reach it before its caller knows.
                start_new_session=True,
            )
        except OSError as error:
            raise StageFailed(
                f"{self._noun} cannot be started: {error.strerror}",
                hint=f"it is started in {self._directory}, the folder of pipeline.yaml",
            ) from None
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        return process

    def _follow(self, process: subprocess.Popen[bytes], deadline: float, cancelled: threading.Event) -> bool:
        """Pass the output on until the program exits. Return False if the deadline comes first."""
        while process.poll() is None:
            if cancelled.is_set():
                return True
            if time.monotonic() > deadline:
                return False
            self._read(process, _POLL_MILLISECONDS)
        return True

    def _stop(self, process: subprocess.Popen[bytes], grace: timedelta) -> None:
        _signal(process, signal.SIGTERM)
        self._follow(process, time.monotonic() + grace.total_seconds(), threading.Event())
        # Also for what the program has started and not ended.
        _kill(process)

    def _read(self, process: subprocess.Popen[bytes], milliseconds: int) -> int:
        """Wait for output, and pass on what there is. Return how many bytes there were."""
        assert process.stdout is not None
        poll = select.poll()
        poll.register(process.stdout, select.POLLIN)
        if not poll.poll(milliseconds):
            return 0
        try:
            block = os.read(process.stdout.fileno(), _BLOCK)
        except BlockingIOError:
            return 0
        if not block:
            # The program has closed its output and still runs.
            with suppress(subprocess.TimeoutExpired):
                process.wait(milliseconds / 1000)
            return 0
        *lines, self._rest = (self._rest + block).split(b"\n")
        if len(self._rest) > _MAX_LINE:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            self._pass_on(line)
        return len(block)

    def _end_output(self, process: subprocess.Popen[bytes]) -> None:
        """Pass on the last output, without a wait: a process in the background may hold the other end open.

        What the program itself has written fits in the pipe. A process in the background may write without end.
        """
        assert process.stdout is not None
        left, end = fcntl.fcntl(process.stdout, fcntl.F_GETPIPE_SZ), time.monotonic() + _LAST_OUTPUT_SECONDS
        while left > 0 and time.monotonic() < end and (count := self._read(process, 0)):
            left -= count
        if self._rest:
            self._pass_on(self._rest)
        process.stdout.close()

    def _pass_on(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r")
        self._tail.append(text)
        self._on_output(text)

    def _judge(self, code: int | None, timeout: timedelta, *, in_time: bool, was_cancelled: bool) -> None:
        if was_cancelled:
            raise Cancelled("cancelled")
        tail = tuple(self._tail)
        if code is None:
            text = f"{self._noun} was still running after {format_duration(timeout)} and cannot be stopped"
            raise StageFailed(text, hint="end it yourself: it may run as another user", tail=tail)
        if not in_time:
            raise StageFailed(f"{self._noun} was still running after {format_duration(timeout)}: stopped", tail=tail)
        if code < 0:
            raise StageFailed(f"{self._noun} was killed by {signal.Signals(-code).name}", tail=tail)
        if code > 0:
            raise StageFailed(f"{self._noun} failed with exit code {code}", tail=tail)


def _kill(process: subprocess.Popen[bytes]) -> None:
    _signal(process, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(KILL_SECONDS)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # A program that runs as another user, such as by sudo, may not be sent a signal.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)

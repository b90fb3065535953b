"""A process in a container, connected to this process's terminal, input and output."""

from __future__ import annotations

import os
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType

from pipeline.base.errors import PenstockError
from pipeline.engine.console import Process

_CHUNK = 64 * 1024
# What a user or another program sends to end or to inform a command.
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def is_terminal() -> bool:
    """Return whether a user types the input and sees the output of this process."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def attach(process: Process, *, with_terminal: bool, forwards_signals: bool = False) -> int:
    """Connect a process to this one until its end, and return its exit code.

    With a terminal, each key reaches the process, also Ctrl-C, and the process knows the size of the window. Without
    one, signals reach it if `forwards_signals`.
    """
    with ExitStack() as stack:
        if with_terminal:
            stack.enter_context(_sized(process))
            stack.enter_context(_raw())
        elif forwards_signals:
            stack.enter_context(_forwarded(process))
        # A daemon: reading the input may wait for ever.
        threading.Thread(target=_copy_input, args=(process,), name="input", daemon=True).start()
        _copy_output(process)
        return process.wait()


def _copy_output(process: Process) -> None:
    """Write what the process writes. What has no reader any more is dropped, so that the process ends as it would."""
    closed: set[int] = set()
    for is_error, data in process.output():
        target = sys.stderr.fileno() if is_error else sys.stdout.fileno()
        while data and target not in closed:
            try:
                data = data[os.write(target, data) :]
            except BrokenPipeError:
                closed.add(target)


def _copy_input(process: Process) -> None:
    if sys.stdin is None:
        process.end_input()
        return
    source = sys.stdin.fileno()
    with suppress(OSError, PenstockError):
        while data := os.read(source, _CHUNK):
            process.write(data)
        process.end_input()


@contextmanager
def _raw() -> Iterator[None]:
    """Pass each key on, also Ctrl-C. The terminal is afterwards as it was."""
    before = termios.tcgetattr(sys.stdin)
    try:
        # Not `TCSAFLUSH`, which would drop what the user has typed already.
        tty.setraw(sys.stdin, termios.TCSADRAIN)
        yield
    finally:
        # Keys that nobody has read stay for the shell.
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


@contextmanager
def _sized(process: Process) -> Iterator[None]:
    """Give the process the size of the window, now and whenever it changes."""

    def resize(*_: object) -> None:
        columns, rows = os.get_terminal_size(sys.stdout.fileno())
        process.resize(rows, columns)

    previous = signal.signal(signal.SIGWINCH, resize)
    resize()
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, previous)


@contextmanager
def _forwarded(process: Process) -> Iterator[None]:
    """Forward signals to the process instead of obeying them."""

    def forward(number: int, _: FrameType | None) -> None:
        process.signal(signal.Signals(number).name)

    previous = {number: signal.signal(number, forward) for number in _FORWARDED}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

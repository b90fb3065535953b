"""The agent: a process that keeps a part of the kernel as HAProxy's servers are, also while Penstock is stopped.

It is the only writer of that part for its balancer directory. Each request is a line of JSON with the key `do`, and so
is its response: see `requests`. It wakes for requests, for HAProxy's reports of servers that go up or down, and when
other programs change what it keeps.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from pipeline.balancer.agent.keeper import Keeper
from pipeline.balancer.agent.requests import answer
from pipeline.balancer.haproxy.report_socket import report_socket
from pipeline.base.errors import BalancerFault

# Seconds until the next look after a failure, if nothing wakes the agent.
_RETRY_PAUSE = 0.5
_MAX_LINE = 2048
_REPORTS = 2**18


class Agent:
    """The agent of one balancer directory, which is its cwd.

    `name` is that of its socket for requests, and `reports` that of its socket for HAProxy's reports.
    """

    def __init__(self, keeper: Keeper, name: str, reports: str) -> None:
        self._keeper = keeper
        self._name, self._reports_name = name, reports
        self._wake, self._waker = socket.socketpair()
        self._waker.setblocking(False)
        self._reports = report_socket(Path(), self._reports_name, _REPORTS)
        self._listen()
        self._is_ending = False
        self._last_failure = ""
        self._synced = time.monotonic()

    def run(self) -> None:
        """Serve until SIGTERM or the request `stop`. The kernel goes on."""
        signal.set_wakeup_fd(self._waker.fileno())
        signal.signal(signal.SIGTERM, self._end)
        self._sync()
        while not self._is_ending:
            self._wait_and_serve()
        self._keeper.close()

    def _listen(self) -> None:
        self._requests = _request_socket(self._name)
        self._own_socket = _stamp(self._name)

    def _end(self, *_: object) -> None:
        self._is_ending = True

    def _wait_and_serve(self) -> None:
        ready = self._wait()
        # A client may ask more often than that.
        is_due = self._pause() <= 0
        if is_due and Path().stat().st_nlink == 0:
            self._leave()
            return
        if self._requests.fileno() in ready:
            self._serve()
        if is_due or self._has_reports() or self._is_changed(ready):
            self._sync()

    def _leave(self) -> None:
        """End with what is kept, because the balancer's files were removed and nothing can reach this process."""
        with suppress(BalancerFault):
            self._keeper.clear()
        self._is_ending = True

    def _wait(self) -> set[int]:
        poll = select.poll()
        own = (each.fileno() for each in (self._wake, self._reports, self._requests))
        for descriptor in (*own, *self._keeper.descriptors()):
            poll.register(descriptor, select.POLLIN)
        return {descriptor for descriptor, _ in poll.poll(max(0, self._pause()) * 1000)}

    def _pause(self) -> float:
        """Return the seconds until the next look."""
        pause = _RETRY_PAUSE if self._last_failure else self._keeper.pause
        return self._synced + pause - time.monotonic()

    def _has_reports(self) -> bool:
        found = False
        with suppress(BlockingIOError):
            while True:
                self._reports.recv(_MAX_LINE)
                found = True
        return found

    def _is_changed(self, ready: set[int]) -> bool:
        """Return whether another program has changed what is kept."""
        if not ready.intersection(self._keeper.descriptors()):
            return False
        try:
            return not self._keeper.is_intact()
        except BalancerFault:
            return True

    def _renew_reports(self) -> None:
        """Make the socket for HAProxy's reports anew if it was removed."""
        if _stamp(self._reports_name) is None:
            self._reports.close()
            self._reports = report_socket(Path(), self._reports_name, _REPORTS)

    def _keeps_socket(self) -> bool:
        """Make the socket anew if it was removed. Return False if this process is to end instead."""
        found = _stamp(self._name)
        if found == self._own_socket:
            return True
        if found is None and self._keeper.is_wanted():
            self._requests.close()
            self._listen()
            return True
        if found is None:
            self._leave()
        # Otherwise another agent has replaced this one.
        self._is_ending = True
        return False

    def _sync(self) -> None:
        self._synced = time.monotonic()
        if not self._keeps_socket():
            return
        self._renew_reports()
        try:
            self._keeper.sync()
            failure = ""
        except BalancerFault as fault:
            failure = str(fault)
        if failure and failure != self._last_failure:
            with suppress(OSError):  # The disk may be full.
                print(f"{time.strftime('%F %T')} {failure}", file=sys.stderr, flush=True)  # noqa: T201  # its log
        self._last_failure = failure

    def _serve(self) -> None:
        with suppress(OSError):
            connection, _ = self._requests.accept()
            with connection:
                self._is_ending |= answer(connection, self._keeper)


def _stamp(name: str) -> tuple[int, int] | None:
    """Return what distinguishes a socket's file from others of its name, or None without one."""
    try:
        found = Path(name).stat()
    except OSError:
        return None
    return found.st_ino, found.st_ctime_ns


def _request_socket(name: str) -> socket.socket:
    """Return the listening socket. It gets its name only after it listens, so a client that finds it can connect."""
    draft = f".{name}.{os.getpid()}"
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(draft)
    Path(draft).chmod(0o600)
    listening.listen(128)
    Path(draft).rename(name)
    return listening

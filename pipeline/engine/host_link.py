"""The connection of a command or a loop to one host of a cluster."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, NamedTuple, TypeVar

from pipeline.base.errors import EngineFault, HostSilent, PenstockError, SystemFault

T = TypeVar("T")
R = TypeVar("R")
# What keeps this machine from its tunnel counts too: a lock that is held, or a full disk.
_FAILURES = (SystemFault, OSError)


class OpenLink(NamedTuple, Generic[T]):
    """An engine or a console of a host, and what closes its connection. By default, another part closes it."""

    opened: T
    close: Callable[[], None] = lambda: None


class HostLink(Generic[T]):
    """An engine or a console of one host, opened at the first use and again after a failure. Safe from any thread.

    `connect` returns it. Without `keeps`, it is called for each use, for a connection that another part keeps. The
    errors of its calls name the host.
    """

    def __init__(self, name: str, connect: Callable[[], OpenLink[T]], *, keeps: bool = True) -> None:
        self.name = name
        self._connect = connect
        self._keeps = keeps
        self._lock = threading.Lock()
        # Held while a connection is made, which may take long. `close` does not wait for it.
        self._connecting = threading.Lock()
        self._open: OpenLink[T] | None = None
        self._has_failed = False
        self._is_closed = False
        self._silent: Future[object] | None = None

    def ask(self, work: Callable[[T], R]) -> Future[R]:
        """Call `work` in a thread that does not keep the process from exiting while the host is silent."""
        result: Future[R] = Future()
        threading.Thread(target=_settle, args=(result, lambda: self.call(work)), name=self.name, daemon=True).start()
        return result

    def call(self, work: Callable[[T], R]) -> R:
        """Call `work` in this thread. Raises `EngineFault`, `HostSilent` at once while an earlier call is silent."""
        if self._silent is not None and not self._silent.done():
            raise HostSilent(f"host {self.name}: no answer to an earlier call")
        try:
            return work(self._connected())
        except _FAILURES as failure:
            self._has_failed = True
            raise self._named(failure) from failure

    def silent(self, call: Future[R], seconds: float) -> HostSilent:
        """Note that a call of `ask` got no answer within these seconds, and still waits. Returns the error."""
        # Others would wait with it, each in a thread.
        self._silent = call  # type: ignore[assignment]  # a result is not used
        return HostSilent(f"host {self.name}: no answer within {seconds:g} s")

    def close(self) -> None:
        """Close the connection. One that is being made is closed as soon as it is there."""
        with self._lock:
            self._is_closed = True
            former, self._open = self._open, None
        if former is not None:
            former.close()

    def _connected(self) -> T:
        if not self._keeps:
            return self._connect().opened
        with self._connecting:
            current = self._open
            if current is not None and not self._has_failed:
                return current.opened
            opened = self._connect()
            with self._lock:
                # Other threads may use the former one, and it may keep a tunnel open until here.
                former = opened if self._is_closed else self._open
                self._open = None if self._is_closed else opened
                self._has_failed = False
        if former is not None:
            former.close()
        return opened.opened

    def _named(self, failure: PenstockError | OSError) -> EngineFault:
        if isinstance(failure, OSError):
            fault = EngineFault(f"it cannot be reached from here: {failure}")
        elif isinstance(failure, EngineFault):
            fault = failure
        else:
            fault = EngineFault(failure.message, hint=failure.hint, tail=failure.tail)
        return fault if fault.message.startswith(f"host {self.name}") else fault.on_host(self.name)


def _settle(result: Future[R], work: Callable[[], R]) -> None:
    try:
        result.set_result(work())
    except BaseException as error:  # noqa: BLE001  # the reader of `result` raises it
        result.set_exception(error)

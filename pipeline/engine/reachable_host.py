"""A host whose engine may be unreachable for a while."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, TypeVar

from pipeline.base.clock import SYSTEM, Clock
from pipeline.base.errors import EngineFault, PenstockError, SystemFault
from pipeline.engine.interfaces import Engine
from pipeline.engine.runtime import Runtime

T = TypeVar("T")
# Seconds between two attempts to reach a host.
_PROBE_INTERVAL = 1.0
# What keeps this machine from its tunnel counts too: a lock that is held, or a full disk.
_FAILURES = (SystemFault, OSError)


class OpenHost(NamedTuple):
    """The runtime of a host and its engine, and what closes the connection."""

    runtime: Runtime
    engine: Engine
    close: Callable[[], None]


@dataclass(frozen=True)
class HostChange:
    """A host that is lost, with the reason and what to do about it, or that is back."""

    host: str
    is_lost: bool
    reason: str = ""
    hint: str = ""

    @property
    def text(self) -> str:
        """The change in words. The engine's errors begin with the host, which is not repeated."""
        if not self.is_lost:
            return f"host {self.host} answers again"
        return f"host {self.host} is lost, other hosts get its replicas: {self.cause}"

    @property
    def cause(self) -> str:
        """Why it is lost, and what to do about it."""
        reason = re.sub(rf"^host {self.host}( \([^)]*\))?: ", "", self.reason)
        return f"{reason} ({self.hint})" if self.hint else reason


class ReachableHost:
    """One host of several. It is lost once all attempts within `lost_after` have failed. Safe from any thread.

    `connect` connects to it and is called again after a failure. While the host does not answer, `probe` tries to reach
    it, one thread at a time. `on_change` is called once for each change, and calls no host.

    An answer that takes longer than its limit is a failure. After that, the host answers again once a probe takes at
    most half of the limit, so that one at the limit does not come and go.
    """

    def __init__(
        self,
        name: str,
        zone: str,
        connect: Callable[[], OpenHost],
        *,
        on_change: Callable[[HostChange], object] = lambda _: None,
        lost_after: timedelta = timedelta(seconds=10),
        clock: Clock = SYSTEM,
    ) -> None:
        self.name = name
        self.zone = zone
        self._connect = connect
        self._on_change = on_change
        self._lost_after = lost_after.total_seconds()
        self._clock = clock
        self._lock = threading.Lock()
        self._open: OpenHost | None = None
        self._fault = EngineFault(f"host {name}: not connected yet")
        self._answers = False
        # Whether it was too slow since its last answer in time.
        self._is_slow = False
        # The first and the last failure of attempts that followed one another.
        self._failing_since = self._failed_at = float("-inf")
        self._is_told = False
        self._is_closed = False
        self._probe: Future[None] | None = None
        self._probed_at = float("-inf")

    @property
    def answers(self) -> bool:
        """Whether its last answer came."""
        return self._answers

    @property
    def engine(self) -> Engine | None:
        """Its engine, None while it does not answer."""
        current = self._open
        return current.engine if current is not None and self._answers else None

    @property
    def is_lost(self) -> bool:
        """Whether it has not answered for so long that it counts as lost. The first time, it is reported."""
        with self._lock:
            if self._answers or self._is_told:
                return not self._answers
            is_lost = self._is_told = self._failing_until() - self._failing_since >= self._lost_after
        if is_lost:
            fault = self._fault
            self._on_change(HostChange(self.name, is_lost=True, reason=fault.message, hint=fault.hint or ""))
        return is_lost

    @property
    def fault(self) -> EngineFault:
        """Why it did not answer."""
        return self._fault

    def ask(self, work: Callable[[Runtime], T]) -> Future[T]:
        """Call the runtime in another thread. A failure of the engine means that the host does not answer."""
        return self._in_thread(lambda: self._ask(work))

    def call(self, work: Callable[[Runtime], T]) -> T:
        """Call the runtime in this thread. Raises `EngineFault` with the host's name."""
        current = self._open
        if current is None:
            raise self._fault
        try:
            return work(current.runtime)
        except _FAILURES as failure:
            raise self._named(failure) from failure

    def silent(self, seconds: float) -> EngineFault:
        """Note that a call got no answer within these seconds, and still waits. Returns the error."""
        self._is_slow = True
        self._failed(EngineFault(f"host {self.name}: no answer within {seconds:g} s"), seconds)
        return self._fault

    def probe(self, work: Callable[[Runtime], object], limit: float) -> Future[None]:
        """Try in another thread to reach it, and call `work` then. The host answers once that has returned in time.

        `limit` is the longest time for `work`, in seconds.
        Returns the attempt that is in progress, or was made within the last second, if there is one.
        """
        with self._lock:
            now = self._clock.monotonic()
            is_due = self._probe is None or (self._probe.done() and now - self._probed_at >= _PROBE_INTERVAL)
            if is_due or self._probe is None:
                if now - self._failed_at > self._lost_after:
                    # Nothing is known about the time between.
                    self._failing_since = self._failed_at = now
                self._probed_at = now
                self._probe = self._in_thread(lambda: self._try(work, limit))
            return self._probe

    def close(self) -> None:
        """Close the connection. One that is being made is closed as soon as it is there."""
        with self._lock:
            self._is_closed = True
            current, self._open = self._open, None
        if current is not None:
            current.close()

    def _in_thread(self, work: Callable[[], T]) -> Future[T]:
        """Call `work` in a thread that does not keep the process from exiting while the engine is silent."""
        result: Future[T] = Future()
        threading.Thread(target=_settle, args=(result, work), name=f"host {self.name}", daemon=True).start()
        return result

    def _ask(self, work: Callable[[Runtime], T]) -> T:
        try:
            return self.call(work)
        except EngineFault as fault:
            self._failed(fault)
            raise

    def _try(self, work: Callable[[Runtime], object], limit: float) -> None:
        try:
            seconds = self._seconds_now(work)
            if seconds is None:
                seconds = self._replace(self._connect(), work)
        except _FAILURES as failure:
            self._failed(self._named(failure))
        else:
            self._judge(seconds, limit)

    def _judge(self, seconds: float, limit: float) -> None:
        """Note an answer, which is a failure if it took too long. The connection is kept: another is no faster."""
        longest = limit / 2 if self._is_slow else limit
        if seconds <= longest:
            self._answered()
            return
        self._is_slow = True
        fault = EngineFault(
            f"host {self.name}: its engine took {seconds:.1f} s to answer",
            hint=f"the host is used again once its engine takes at most {limit / 2:g} s",
        )
        self._failed(fault, seconds)

    def _seconds_now(self, work: Callable[[Runtime], object]) -> float | None:
        """Return the time that `work` takes by the present connection, None if there is none that works."""
        current = self._open
        if current is None:
            return None
        try:
            return self._seconds(current, work)
        except _FAILURES:
            return None

    def _seconds(self, opened: OpenHost, work: Callable[[Runtime], object]) -> float:
        began = self._clock.monotonic()
        work(opened.runtime)
        return self._clock.monotonic() - began

    def _replace(self, opened: OpenHost, work: Callable[[Runtime], object]) -> float:
        """Use a new connection once it works. The former one stays until then, since it may keep a tunnel open.

        Returns the seconds that `work` has taken.
        """
        try:
            seconds = self._seconds(opened, work)
        except BaseException:
            opened.close()
            raise
        with self._lock:
            former = opened if self._is_closed else self._open
            self._open = None if self._is_closed else opened
        if former is not None:
            former.close()
        return seconds

    def _failing_until(self) -> float:
        """Return the time of the last failure, or now if an attempt has waited for an answer for some time."""
        now = self._clock.monotonic()
        is_silent = self._probe is not None and not self._probe.done() and now - self._probed_at >= _PROBE_INTERVAL
        return now if is_silent else self._failed_at

    def _failed(self, fault: EngineFault, seconds_ago: float = 0.0) -> None:
        with self._lock:
            self._fault = fault
            self._failed_at = self._clock.monotonic()
            if self._answers:
                self._answers = False
                self._failing_since = self._failed_at - seconds_ago

    def _answered(self) -> None:
        with self._lock:
            self._answers, self._is_slow = True, False
            # The first attempt after the next failure is made at once.
            self._probed_at = float("-inf")
            is_back, self._is_told = self._is_told, False
        if is_back:
            self._on_change(HostChange(self.name, is_lost=False))

    def _named(self, failure: PenstockError | OSError) -> EngineFault:
        fault = failure if isinstance(failure, EngineFault) else _engine_fault(failure)
        if fault.message.startswith(f"host {self.name}"):
            return fault
        return fault.on_host(self.name)


def _engine_fault(failure: PenstockError | OSError) -> EngineFault:
    if isinstance(failure, OSError):
        return EngineFault(f"it cannot be reached from here: {failure}")
    return EngineFault(failure.message, hint=failure.hint, tail=failure.tail)


def _settle(result: Future[T], work: Callable[[], T]) -> None:
    try:
        result.set_result(work())
    except BaseException as error:  # noqa: BLE001  # the reader of `result` raises it
        result.set_exception(error)

"""Supervision of the data plane while the daemon runs.

What is noticed within which time:

- The exit of the process, or of an agent beside it: at once, by the kernel. The supervisor holds the listening sockets,
  so new connections wait for the restart instead of being refused.
- A target that goes up or down: at once, because the plane reports it. The pipelines' repair loops act on it.
- A request that is held because its group is scaled to zero: at once, in the same way. The scaling loops act on it.
- A plane that hangs, has lost its control sockets or is stopped by a signal: within ten seconds. It is asked every two
  seconds whether it responds.
- A registry that another process has changed: within two seconds.
- A target that waits for its first health check, a drain, a function: reconciled every two seconds while there is one.
- Everything else, such as a change of the plane by hand or a report that was lost: within a minute.

Without a monitor, or if it cannot receive reports, all targets are reconciled every two seconds.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta

import structlog

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.elbv2.drains import finish_drains
from pipeline.balancer.plane_monitor import PlaneMonitor
from pipeline.balancer.registry import Registry
from pipeline.balancer.settled import changed_owners, is_settled
from pipeline.base.clock import Clock, until_next
from pipeline.base.errors import PenstockError
from pipeline.daemon.endpoint_reports import EndpointReports
from pipeline.event_kinds import EventKind

# Seconds between checks for changed certificates and keys.
_RELOAD_INTERVAL = 60.0
# A data plane that hangs is replaced within ten seconds. Deployments reconcile their own groups and do not wait.
_INTERVAL = timedelta(seconds=2)
_logger = structlog.get_logger(__name__)


class BalancerSupervisor:
    """Keeps the balancer reconciled, and starts its data plane immediately after it died.

    `emit` receives the events, from two threads. `changed` is called with the owner whose targets have changed, or with
    None if any may have. It must return soon.
    """

    def __init__(
        self,
        balancer: Balancer,
        emit: Callable[[EventKind, str], None],
        clock: Clock,
        interval: timedelta = _INTERVAL,
        *,
        monitor: PlaneMonitor | None = None,
        changed: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        self._balancer = balancer
        self._emit = emit
        self._clock = clock
        self._interval = interval
        self._monitor = monitor
        self._changed = changed
        self._stopping = threading.Event()
        self._is_suspect = threading.Event()
        self._last_reported = ""
        self._last_pid: int | None = None
        self._watched: int | None = None
        self._gone: int | None = None
        self._is_due = False
        self._maintained: float | None = None
        self._reconciled: Registry | None = None
        self._was_settled = False
        self._endpoints = EndpointReports(balancer, emit)
        self._is_needed = True
        self._empty_at = ""
        self._is_watching = False
        self._reports = 0

    @property
    def is_watching(self) -> bool:
        """True if `changed` is called soon after each change of a target. Safe to call from any thread."""
        return self._is_watching

    @property
    def reports(self) -> int | None:
        """The number of reports of the data plane about targets, None while it cannot report. Safe from any thread."""
        return self._reports if self._is_watching else None

    def run_forever(self) -> None:
        """Run until `stop`."""
        # A call to a data plane that a signal has stopped waits for the response, so this needs a thread of its own.
        resuming = threading.Thread(target=self._resume_forever, name="balancer-resume", daemon=True)
        resuming.start()
        with self._hold_sockets():
            while not self._stopping.is_set():
                if self._run_once():
                    self._wait()
                else:
                    self._clock.wait(self._stopping, until_next(self._clock, self._interval / 2))
        resuming.join()
        self._unwatch()
        if self._monitor is not None:
            self._monitor.close()

    def stop(self) -> None:
        """Request the end of `run_forever`. Returns at once."""
        self._stopping.set()
        self._is_suspect.set()

    @contextmanager
    def _hold_sockets(self) -> Iterator[None]:
        """Hold the listening sockets, if the data plane supports it."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self._balancer.standby())
            except (PenstockError, OSError) as error:
                _logger.warning("connections are refused while HAProxy restarts", error=str(error))
            yield

    def _run_once(self) -> bool:
        """Start and reconcile the data plane if it is needed. Return whether it is needed and runs."""
        try:
            # Before the reconciliation: whatever changes after it is reported.
            receives = self._monitor is not None and self._monitor.open()
            self._is_needed = self._is_declared()
            if self._is_needed:
                self._ensure(receives=receives)
            else:
                self._last_pid = self._maintained = self._reconciled = None
                self._unwatch()
        except PenstockError as error:
            self._reconciled, self._is_watching = None, False
            if error.message != self._last_reported:
                self._emit(EventKind.BALANCER_FAILED, error.message)
                self._last_reported = error.message
            return False
        self._last_reported = ""
        self._is_watching = receives
        return self._is_needed

    def _is_declared(self) -> bool:
        """Return whether something is declared."""
        try:
            stamp = str(self._balancer.directory.stat().st_mtime_ns)
        except OSError:
            stamp = "missing"
        # Without a registry, each read searches all processes of the machine for a data plane.
        if self._empty_at != stamp:
            self._empty_at = stamp if self._balancer.registry().is_empty else ""
        return not self._empty_at

    def _ensure(self, *, receives: bool) -> None:
        now, started = self._clock.monotonic(), False
        if self._maintained is None or now - self._maintained >= _RELOAD_INTERVAL:
            started, self._maintained = self._balancer.ensure_running(), now
            self._endpoints.report_appliances()
        elif not (receives and self._is_settled()):
            started = self._balancer.reconcile()
            finish_drains(self._balancer)
            self._endpoints.report_appliances()
        self._endpoints.report_networks()
        self._report_registry()
        pid = self._pid()
        # A command may have restarted it before the daemon did. That is a restart too.
        if started or self._last_pid not in (None, pid):
            self._emit(EventKind.BALANCER_RESTARTED, "HAProxy was not running or did not respond, restarted it")
            self._reports += 1
            self._changed(None)
        # It may have just died. A command that restarts it before the next round must not go unnoticed.
        self._last_pid = pid or self._last_pid

    def _is_settled(self) -> bool:
        """Return whether a reconciliation would change nothing, as far as the plane's reports and a ping show it."""
        if self._balancer.registry() is not self._reconciled or not self._was_settled:
            return False
        if self._monitor is not None and self._monitor.is_responding():
            return True
        # A signal may have stopped it. The reconciliation that follows waits for longer.
        self._is_suspect.set()
        return False

    def _report_registry(self) -> None:
        """Report the owners whose resources or targets another process, or this one, has changed."""
        before, self._reconciled = self._reconciled, self._balancer.registry()
        if before is self._reconciled:
            return
        self._was_settled = is_settled(self._reconciled)
        if before is None:
            self._changed(None)
        else:
            for owner in changed_owners(before, self._reconciled):
                self._changed(owner)

    def _resume_forever(self) -> None:
        while not self._stopping.is_set():
            self._clock.wait(self._is_suspect, until_next(self._clock, self._interval))
            self._is_suspect.clear()
            # The supervision reports a registry that cannot be read.
            with suppress(PenstockError):
                if self._is_needed and (resumed := self._balancer.resume()):
                    names = ", ".join(map(str, resumed))
                    text = f"HAProxy was stopped by a signal (pid {names}), continued it"
                    self._emit(EventKind.BALANCER_RESUMED, text)

    def _pid(self) -> int | None:
        """Return the process of the data plane. Asks the kernel only whether the last one has exited, if it can."""
        if self._watched is not None and not _is_ready(self._watched):
            return self._last_pid
        self._unwatch()
        pid = self._balancer.pid()
        try:
            self._watched = os.pidfd_open(pid) if pid else None
        except ProcessLookupError:
            # It has just exited. Once for each process, in case its number is that of another namespace.
            self._is_due, self._gone = pid != self._gone, pid
        except OSError:
            # Without a descriptor for it, its exit is found by the next round.
            pass
        return pid

    def _unwatch(self) -> None:
        if self._watched is not None:
            os.close(self._watched)
            self._watched = None

    def _wait(self) -> None:
        """Wait until the process of the data plane exits, at most for the interval. Pass on what the plane reports."""
        if self._is_due:
            self._is_due = False
            return
        poll = select.poll()
        if self._watched is not None:
            poll.register(self._watched, select.POLLIN)
        reports = self._monitor.fileno() if self._monitor is not None else -1
        if reports >= 0:
            poll.register(reports, select.POLLIN)
        for descriptor in self._monitor.exits() if self._monitor is not None else ():
            poll.register(descriptor, select.POLLIN)
        rounds = 1 if self._watched is not None else 2
        self._pass_reports(poll, reports, until_next(self._clock, self._interval / rounds))

    def _pass_reports(self, poll: select.poll, reports: int, timeout: timedelta) -> None:
        """Pass on reports until `timeout`, or until another descriptor than that of the reports is readable."""
        deadline = self._clock.monotonic() + timeout.total_seconds()
        while not self._stopping.is_set() and (left := deadline - self._clock.monotonic()) > 0:
            readable = [descriptor for descriptor, _ in poll.poll(left * 1000)]
            if any(descriptor != reports for descriptor in readable):
                return
            if readable and self._monitor is not None:
                self._reports += 1
                for owner in self._monitor.owners():
                    self._changed(owner)


def _is_ready(descriptor: int) -> bool:
    """Return whether a descriptor of a process says that it has exited. `select` refuses descriptors above 1023."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))

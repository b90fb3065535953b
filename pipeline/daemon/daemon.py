"""The daemon: its pipelines, its hook spool, and its data plane."""

from __future__ import annotations

import ctypes
import gc
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

import structlog

from pipeline.balancer.planes import open_balancer, open_monitor
from pipeline.balancer.telemetry.group_load import GroupLoads
from pipeline.balancer.telemetry.traffic_follower import TrafficFollower
from pipeline.base.clock import Clock, SystemClock, until_next
from pipeline.base.errors import ConfigError, PenstockError, StoreFault
from pipeline.base.home import Home
from pipeline.base.signal import Signal
from pipeline.daemon.balancer_supervisor import BalancerSupervisor
from pipeline.daemon.certificate_renewal import CertificateRenewal
from pipeline.daemon.certificate_supervisor import CertificateSupervisor
from pipeline.daemon.container_exits import ContainerExits, is_stopped
from pipeline.daemon.engine_watches import EngineWatches
from pipeline.daemon.scheduler import Loop, Scheduler
from pipeline.daemon.served_file import ServedFile
from pipeline.daemon.service_supervisor import ServiceSupervisor
from pipeline.daemon.stack_supervisor import StackSupervisor
from pipeline.daemon.supervisor import PipelineSupervisor
from pipeline.daemon.supervisors import Supervisors
from pipeline.engine.hosts import host_events, local_events
from pipeline.engine.interfaces import ReplicaChange
from pipeline.event_kinds import EventKind
from pipeline.events import Listener, Value
from pipeline.store.records import Trigger
from pipeline.store.store import Store
from pipeline.triggers.spool import Spool

# For the files of the pipelines, which are not watched.
_REFRESH = timedelta(seconds=1)
# For what another program may have removed, and for files of hooks that the watch of the spool missed.
_CHECK_INTERVAL = timedelta(seconds=5)
# In seconds, between two looks at what the end of the daemon waits for.
_REPORT_INTERVAL = 1.0
_logger = structlog.get_logger(__name__)
# Python's default thresholds. The CLI raises them for short-lived commands.
_GC_THRESHOLDS = (700, 10, 10)
# From glibc's malloc.h.
_M_ARENA_MAX = -8


def limit_malloc_arenas() -> None:
    """Make all threads share one malloc arena, if the C library is glibc. Call this before the first thread starts.

    By default glibc gives each thread its own arena and keeps freed memory there. After some deployments that is a
    seventh of the daemon's memory.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


class Daemon:
    """The pipelines of one home. The constructor raises `ConfigError` for a file that is invalid."""

    def __init__(
        self,
        home: Home,
        store: Store,
        files: Sequence[Path],
        listeners: Sequence[Listener] = (),
        parameters: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        zones: Sequence[str] = (),
    ) -> None:
        self.home = home
        self.store = store
        self._listeners = listeners
        self._clock = clock or SystemClock()
        served_files = [ServedFile(file, home, store, listeners, parameters, self._clock) for file in files]
        self._scheduler = Scheduler(self._clock)
        self.container_exits = ContainerExits(self._clock, partial(is_stopped, store.events))
        # One reader of the access log for all pipelines.
        self._loads = GroupLoads(open_balancer(home.balancer).access_log)
        # Another one, which reads only while a user looks.
        self.traffic = TrafficFollower(open_balancer(home.balancer).access_log, self._clock)
        self.supervisors = Supervisors({served.name: self._supervise(served) for served in served_files})
        if len(self.supervisors) < len(served_files):
            raise ConfigError("two of the files declare the same pipeline name", hint="give each pipeline its own name")
        self._spool = Spool(home.spool)
        self._balancer_supervisor = BalancerSupervisor(
            open_balancer(home.balancer),
            self._emit_to_all,
            self._clock,
            monitor=open_monitor(home.balancer),
            changed=self._notify_drift,
        )
        self.services = ServiceSupervisor(home, store, self.supervisors, self._supervise, listeners, self._clock)
        self.stacks = StackSupervisor(home, store.stacks.has_unfinished, self.services, zones)
        self._certificates = CertificateSupervisor(
            open_balancer(home.balancer), home.dns_programs, self._emit_to_owners, self._clock
        )
        self._certificate_loop: Loop | None = None
        self._engine_watches = EngineWatches(
            local_events(home.id),
            lambda host: host_events(host, home.id, home.hosts),
            lambda: {name: found for name, found in store.clusters.all().items() if name in self.supervisors},
            self._on_replica,
            self._clock,
        )
        self.targets_changed = Signal()
        self._notified = threading.Event()
        self._ending = threading.Event()
        self._reloading = threading.Event()
        self._check_interval = _CHECK_INTERVAL

    def plane_reports(self) -> int | None:
        """Return the number of reports of the data plane about targets, None while it cannot report."""
        return self._balancer_supervisor.reports

    def run_forever(self, progress: Callable[[], None] = lambda: None) -> None:
        """Start everything, then reload changed files and read the spool until `end`.

        Calls `progress` every few seconds.
        Raises `StoreFault` if the database was removed.
        """
        # The daemon is long-lived. Freeze start-up objects so the collector skips them.
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)
        with ExitStack() as stack:
            self._start(stack)
            due = self._clock.monotonic()
            while not self._ending.is_set():
                is_due = self._notified.is_set() or self._clock.monotonic() >= due
                if is_due:
                    self._notified.clear()
                    due = self._clock.monotonic() + until_next(self._clock, self._check_interval).total_seconds()
                    progress()
                    self._check_database()
                try:
                    self._refresh(spool=is_due)
                except (PenstockError, OSError) as error:
                    # Without free descriptors or disk space the pipelines keep their state until the next refresh.
                    _logger.warning("refresh failed", error=str(error))
                self._clock.wait(self._notified, until_next(self._clock, _REFRESH))

    def _start(self, stack: ExitStack) -> None:
        try:
            stack.enter_context(self._spool.watch(self._notified.set))
        except PenstockError as error:
            self._check_interval = _REFRESH
            text = f"cannot watch the hook spool, polling it every second: {error.message}"
            self._emit_to_all(EventKind.TRIGGER_POLLING, text)
        balancer = threading.Thread(
            target=self._balancer_supervisor.run_forever, name="balancer-supervisor", daemon=True
        )
        balancer.start()
        self._scheduler.start()
        self._engine_watches.start(self._scheduler)
        self._scheduler.add("services of stacks", self.services.step)
        self._scheduler.add("interrupted operations on stacks", self.stacks.step)
        renewal = CertificateRenewal(self.home, self._emit_to_all, self._clock)
        self._scheduler.add("renewal of the home's certificates", renewal.step)
        self._certificate_loop = self._scheduler.add("certificates", self._certificates.step)
        changes = self.store.changes
        stack.enter_context(changes.subscribe(self._wake_queues, foreign_only=True))
        stack.enter_context(changes.watch(self._scheduler.add("changes of the database", changes.step).wake))
        for supervisor in self.supervisors.values():
            supervisor.start()

    def _check_database(self) -> None:
        if self.store.is_lost:
            raise StoreFault(
                f"{self.home.database} was removed or replaced while the daemon used it",
                hint="start the daemon again; without a copy of the file, the history is lost",
            )

    def _refresh(self, *, spool: bool) -> None:
        self.store.events.flush()
        if spool:
            self._read_spool()
        forced = self._reloading.is_set()
        self._reloading.clear()
        for supervisor in self.supervisors.values():
            supervisor.reload_if_changed(forced=forced)

    def reload(self) -> None:
        """Reload every file."""
        self._reloading.set()
        self._notified.set()

    def end(self) -> None:
        """Request the end of `run_forever`. Returns immediately."""
        self._ending.set()
        self._notified.set()

    def close(self, timeout: float, report: Callable[[str], None] = lambda _: None) -> None:
        """Stop all pipelines and wait for them, up to `timeout` seconds.

        Calls `report` with a line whenever something else is being waited for.
        """
        self._balancer_supervisor.stop()
        self._engine_watches.stop()
        self.services.close()
        if self._certificate_loop is not None:
            # What a step has begun, the next daemon continues.
            self._certificate_loop.stop()
        closing = {
            name: threading.Thread(target=supervisor.stop, args=(timeout,), daemon=True)
            for name, supervisor in self.supervisors.items()
        }
        for thread in closing.values():
            thread.start()
        self.stacks.close()
        self._join(closing, timeout, report)
        self._scheduler.close()

    def _join(self, closing: Mapping[str, threading.Thread], timeout: float, report: Callable[[str], None]) -> None:
        reported = ""
        while waited_for := [name for name, thread in closing.items() if thread.is_alive()]:
            # The first look is early enough to say what keeps a daemon that does not stop at once.
            closing[waited_for[0]].join(_REPORT_INTERVAL)
            text = "; ".join(self.supervisors[name].describe_work() for name in waited_for if closing[name].is_alive())
            if text and text != reported:
                report(f"stopping: waits up to {timeout:g} s for {text}")
                reported = text

    def _read_spool(self) -> None:
        """Notify the pipelines of the repositories whose hooks wrote into the spool."""
        try:
            entries = self._spool.files()
        except OSError as error:
            raise StoreFault(f"cannot read {self.home.spool}: {error.strerror}") from error
        for file, repository in entries.items():
            for supervisor in self.supervisors.values():
                if supervisor.git_directory() == repository:
                    supervisor.notify(Trigger.HOOK)
            self._spool.remove(file)

    def _supervise(self, served: ServedFile) -> PipelineSupervisor:
        has_events = partial(self._has_events, served.name)
        return PipelineSupervisor(served, self._clock, self._scheduler, has_events, self._loads)

    def _has_events(self, pipeline: str, lost: Collection[str]) -> bool:
        """Return whether each change of a container or a target of a pipeline is reported, while hosts are lost."""
        return self._engine_watches.is_live(pipeline, lost) and self._balancer_supervisor.is_watching

    def _notify_drift(self, pipeline: str | None) -> None:
        """Request a check of those whose targets belong to an owner in the balancer, or of all.

        The owner may have other certificates than before, too.
        """
        if self._certificate_loop is not None:
            self._certificate_loop.wake()
        self.targets_changed.send()
        for supervisor in self.supervisors.values():
            if pipeline is None or supervisor.served_file.group_owner == pipeline:
                supervisor.notify_drift()

    def _on_replica(self, change: ReplicaChange | None) -> None:
        self.container_exits.on_change(change)
        if change is None:
            self._notify_drift(None)
        elif supervisor := self.supervisors.get(change.pipeline):
            supervisor.notify_drift(change)
            self.targets_changed.send()

    def _wake_queues(self) -> None:
        """Let the queues be looked at in which another process may have put a run."""
        with suppress(StoreFault):
            for name in self.store.queue.waiting_pipelines():
                if name in self.supervisors:
                    self.supervisors[name].queue_worker.wake()

    def _emit_to_owners(self, owners: frozenset[str], kind: EventKind, message: str, **fields: Value) -> None:
        """Emit an event to these pipelines, or to all if none of them is managed."""
        known = [supervisor for name, supervisor in self.supervisors.items() if name in owners]
        for supervisor in known or self.supervisors.values():
            supervisor.served_file.pipeline_context.events().emit(kind, message, **fields)

    def _emit_to_all(self, kind: EventKind, message: str, **fields: Value) -> None:
        if not self.supervisors:
            _logger.info(message, kind=kind)
        for supervisor in self.supervisors.values():
            supervisor.served_file.pipeline_context.events().emit(kind, message, **fields)

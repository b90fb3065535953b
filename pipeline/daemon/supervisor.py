"""The loops of one pipeline in the daemon: start, restart after an error, and stop."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, ExitStack, suppress
from datetime import timedelta
from pathlib import Path

import structlog

from pipeline.balancer.planes import open_balancer
from pipeline.balancer.telemetry.group_load import GroupLoads
from pipeline.base.backoff import Backoff
from pipeline.base.clock import Clock
from pipeline.base.errors import ConfigError, LockHeld, PenstockError, StoreFault
from pipeline.base.lock import work_lock
from pipeline.daemon.accessory_actions import AccessoryActions
from pipeline.daemon.accessory_loop import AccessoryLoop
from pipeline.daemon.backup_loop import BackupLoop
from pipeline.daemon.cluster_containers import ClusterContainers
from pipeline.daemon.job_loop import JobLoop
from pipeline.daemon.repair_loop import RepairLoop
from pipeline.daemon.scaling_loop import ScalingLoop
from pipeline.daemon.scheduler import Loop, Scheduler, Step
from pipeline.daemon.served_file import ServedFile
from pipeline.daemon.service_metrics import LocalMetrics, MetricSource
from pipeline.daemon.trigger_loop import TriggerLoop
from pipeline.engine.cluster import ClusterSpec
from pipeline.engine.interfaces import ExistingContainers, ReplicaChange
from pipeline.event_kinds import EventKind
from pipeline.runner.context import PipelineContext
from pipeline.runner.deploy_lock import DeployLock
from pipeline.runner.outcome import emit_missing_outcomes
from pipeline.runner.ownership import check_owner, set_owner
from pipeline.runner.queue_worker import QueueWorker
from pipeline.runner.recovery import needs_recovery, recover
from pipeline.runner.ref_tracker import RefTracker
from pipeline.runner.stages import load_source
from pipeline.store.job_run import JobRun
from pipeline.store.records import Trigger

_LOCK_BACKOFF = Backoff(timedelta(seconds=0.2), timedelta(seconds=5))
_RESTART_BACKOFF = Backoff(timedelta(seconds=0.2), timedelta(minutes=1))
# A deployment that ended just before may still be seen as drift.
_FIRST_CHECK = timedelta(seconds=1)
# For a look at the containers of hosts, to which the daemon is connected already.
_HOST_SILENCE = timedelta(seconds=5)
_logger = structlog.get_logger(__name__)


class PipelineSupervisor:
    """Runs the queue worker and the loops of one pipeline. Holds the pipeline's lock.

    Each is a loop of `scheduler`, which many pipelines may share, as they may share `loads`. For `has_events` see
    `RepairLoop`.
    """

    def __init__(
        self,
        served_file: ServedFile,
        clock: Clock,
        scheduler: Scheduler,
        has_events: Callable[[Collection[str]], bool] = lambda _: False,
        loads: GroupLoads | None = None,
    ) -> None:
        self.served_file = served_file
        self._loads = loads
        self._clock = clock
        self._scheduler = scheduler
        self._deploy_lock = DeployLock()
        self.queue_worker = QueueWorker(self._current_context, self._deploy_lock, self._wake_workers)
        self._ref_tracker = RefTracker(self._context, self.queue_worker.wake)
        self._trigger_loop = TriggerLoop(self._context, self._ref_tracker, clock, lambda: self._wake("trigger loop"))
        self._repair_loop = RepairLoop(self._context, self._deploy_lock, clock, has_events)
        self._job_loop = JobLoop(self._context, clock)
        self._accessory_loop = AccessoryLoop(self._context)
        self._backup_loop = BackupLoop(self._context, clock)
        self._scaling_loop = ScalingLoop(self._context, self._deploy_lock, clock, self._metrics, self._renumber)
        self.accessory_actions = AccessoryActions(self._context)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._loops: dict[str, Loop] = {}
        self._held = ExitStack()
        self.ready = threading.Event()

    def start(self) -> None:
        """Start the loop that waits for the pipeline's lock, recovers after a crash, and starts the others."""
        self._add("start", self._until_done(self._take_over, self._until_done(self._recover, self._begin)))

    def stop(self, timeout: float) -> None:
        """Stop all loops. A deployment may finish within `timeout` seconds.

        Safe to repeat, and to call before `start`.
        """
        deadline = time.monotonic() + timeout
        with self._lock:
            self._stopping.set()
            loops = list(self._loops.values())
        for loop in loops:
            loop.stop()
        self._backup_loop.cancel()
        self.accessory_actions.cancel()
        try:
            self.queue_worker.stop(timeout)
        finally:
            if all(loop.join(max(0.0, deadline - time.monotonic())) for loop in loops):
                self._release()
            else:
                threading.Thread(target=self._release_after, args=(loops,), name="release", daemon=True).start()

    def notify(self, trigger: Trigger | None) -> None:
        """Request a scan of the refs. See `TriggerLoop.notify`."""
        self._trigger_loop.notify(trigger)

    def notify_drift(self, change: ReplicaChange | None = None) -> None:
        """Request a check for drift, because a container or a target has changed. Safe to call from any thread.

        The balancer reports requests that wait for a first container in the same way.
        """
        self._repair_loop.notify(change)
        self._wake("repair loop")
        if change is None and self._scaling_loop.has_zero:
            self._wake("scaling loop")

    def run_job(self, name: str, by: str | None) -> JobRun:
        """Begin a run of a job for a user, and return it. Raises `ConfigError` if it cannot run now."""
        return self._job_loop.run_now(name, by)

    def notify_jobs(self) -> None:
        """Request a look at the runs of jobs, because one was cancelled."""
        self._wake("job loop")

    def notify_scaling(self) -> None:
        """Request a decision of auto scaling, because it was resumed."""
        self._wake("scaling loop")

    def git_directory(self) -> Path | None:
        """Return the pipeline's repository on this machine. None if it is remote or does not exist."""
        try:
            context = self.served_file.pipeline_context.stage_context()
            return load_source(context.configuration).git_directory(context)
        except PenstockError:
            return None

    def describe_work(self) -> str:
        """Return what `stop` waits for, as the end of a sentence."""
        name, kept = self.served_file.name, ""
        runs = self.queue_worker.deploying()
        if not runs:
            return f"the work in progress of {name}"
        with suppress(StoreFault):
            waits = self._context().store.deployment_answers.waiting(name)
            kept = "; ".join(f"{wait.service}: {wait.description}" for wait in waits)
        listed = ", ".join(f"run {number}" for number in runs)
        return f"{listed} of {name} in Deploy{f' ({kept}: pipeline promote, or pipeline abort)' if kept else ''}"

    def reload_if_changed(self, *, forced: bool = False) -> None:
        """Reload the file if it changed, or always if `forced`. The triggers start again after a reload."""
        if self.served_file.reload() if forced else self.served_file.reload_if_changed():
            self._trigger_loop.restart()
            self._wake("backup loop")

    def _context(self) -> PipelineContext:
        return self.served_file.pipeline_context

    def _current_context(self) -> PipelineContext:
        """Return the context of the file as it is now. The commit of a run may need what was just written there."""
        self.reload_if_changed()
        return self._context()

    def _metrics(self) -> MetricSource:
        """Return the metrics by which services are scaled. Only a pipeline with scaling needs them."""
        from pipeline.engine.cluster_members import containers_of

        home, name = self._context().home, self.served_file.name
        balancer = open_balancer(home.balancer)
        loads = self._loads or GroupLoads(balancer.access_log)

        def connect(cluster: ClusterSpec) -> AbstractContextManager[ExistingContainers]:
            return containers_of(cluster, home.id, home.hosts, silence=_HOST_SILENCE)

        cluster = ClusterContainers(lambda: self._context().store.clusters.of(name), connect)
        return LocalMetrics(name, balancer, loads, cluster)

    def _renumber(self) -> None:
        """Start or drain replicas, because another number of them is wanted now."""
        self._repair_loop.renumber()
        self._wake("repair loop")

    def _wake(self, name: str) -> None:
        # Before the start there is nothing to wake: the first step of each loop looks at everything.
        if loop := self._loops.get(name):
            loop.wake()

    def _wake_workers(self) -> None:
        """Look at the queue, and at the jobs and the scaling, which a deployment that just ended may have changed."""
        self._wake("queue worker")
        self._wake("job loop")
        self._wake("scaling loop")

    def _add(self, name: str, step: Step, delay: timedelta = timedelta(0)) -> None:
        """Add a loop, unless `stop` was called."""
        with self._lock:
            if not self._stopping.is_set():
                self._loops[name] = self._scheduler.add(f"{name} of {self.served_file.name}", self._named(step), delay)

    def _named(self, step: Step) -> Step:
        def named() -> timedelta | None:
            with structlog.contextvars.bound_contextvars(pipeline=self.served_file.name):
                return step()

        return named

    def _begin(self) -> None:
        # First: `pipeline status` takes the drift that was found before this event for that of an earlier daemon.
        self._context().events().emit(EventKind.SERVE_STARTED, f"managed by daemon (pid {os.getpid()})")
        if self.served_file.is_triggered:
            self._add("trigger loop", self._restarted(self._trigger_loop.step, "trigger loop"))
        self._add("repair loop", self._restarted(self._repair_loop.step, "repair loop"), _FIRST_CHECK)
        self._add("job loop", self._restarted(self._job_loop.step, "job loop"))
        self._add("accessory loop", self._restarted(self._accessory_loop.step, "accessory loop"), _FIRST_CHECK)
        self._add("backup loop", self._restarted(self._backup_loop.step, "backup loop"), _FIRST_CHECK)
        self._add("scaling loop", self._restarted(self._scaling_loop.step, "scaling loop"), _FIRST_CHECK)
        self._add("queue worker", self._restarted(self.queue_worker.run_once, "queue worker"))
        self.ready.set()

    def _restarted(self, step: Callable[[], timedelta], name: str) -> Step:
        """Return a step that is repeated after an error, with a backoff in between."""
        backoff, not_before = _RESTART_BACKOFF, 0.0

        def guarded() -> timedelta:
            nonlocal backoff, not_before
            # A wake does not shorten the backoff.
            if backoff.failures and (now := self._clock.monotonic()) < not_before:
                return timedelta(seconds=not_before - now)
            try:
                delay = step()
            except Exception as error:
                if not isinstance(error, PenstockError):
                    _logger.exception("loop failed", loop=name)
                self._report_failure(name, error)
                delay, backoff = backoff.delay(), backoff.after(succeeded=False)
                not_before = self._clock.monotonic() + delay.total_seconds()
            else:
                backoff = _RESTART_BACKOFF
            return delay

        return guarded

    def _report_failure(self, name: str, error: Exception) -> None:
        text = error.message if isinstance(error, PenstockError) else repr(error)
        with suppress(PenstockError):
            self._context().events().emit(EventKind.SERVE_FAILED, f"{name} failed, restarting: {text}")

    def _take_over(self) -> None:
        context = self._context()
        with ExitStack() as taken:
            lock = work_lock(context.home.lock(context.pipeline), f"pipeline serve of {context.pipeline}")
            taken.enter_context(lock)
            check_owner(context.store, context.configuration)
            set_owner(context.store, context.configuration)
            # Keep the lock only after all checks passed. Otherwise it is released, and the next attempt takes it again.
            self._held = taken.pop_all()

    def _recover(self) -> None:
        context = self._context()
        emit_missing_outcomes(context)
        if needs_recovery(context.stage_context()):
            recover(context, serves=True)

    def _until_done(self, work: Callable[[], None], then: Step) -> Step:
        """Return a step that repeats `work` until it succeeds, then does `then`. Emits each reason once."""
        last_reported, backoff, done = "", _LOCK_BACKOFF, False

        def attempt() -> timedelta | None:
            nonlocal last_reported, backoff, done
            try:
                if not done:
                    work()
            except PenstockError as error:
                if isinstance(error, ConfigError | LockHeld):
                    backoff = _LOCK_BACKOFF
                if error.message != last_reported:
                    text = f"not managed yet: {error.message}"
                    self._context().events().emit(EventKind.SUPERVISOR_BLOCKED, text)
                    last_reported = error.message
                delay, backoff = backoff.delay(), backoff.after(succeeded=False)
                return delay
            done = True
            return then()

        return attempt

    def _release(self) -> None:
        """Close everything, and release the pipeline's lock. No loop runs."""
        self._trigger_loop.close()
        self._repair_loop.close()
        self._job_loop.close()
        self._accessory_loop.close()
        self._scaling_loop.close()
        self._held.close()

    def _release_after(self, loops: list[Loop]) -> None:
        for loop in loops:
            loop.join(threading.TIMEOUT_MAX)
        self._release()

"""One run of a job in this process: from its row to its outcome, also if another process has begun it."""

from __future__ import annotations

import secrets as randomness
import threading
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Self

from pipeline.api import StageContext
from pipeline.base.errors import ConfigError, EngineFault, LockHeld, StageFailed, StoreFault
from pipeline.base.lock import work_lock
from pipeline.base.masking import Mask
from pipeline.engine.container import Container
from pipeline.engine.interfaces import Engine
from pipeline.engine.labels import LABEL_GRACE, LABEL_TIMEOUT
from pipeline.event_kinds import EventKind
from pipeline.jobs.job import Job
from pipeline.jobs.outcome import Outcome, outcome_of, record
from pipeline.jobs.output import JobOutput
from pipeline.store.job_run import JobRun, JobSchedule, JobState

# The longest time until a timeout, a removed container or an interrupt is noticed. The end of the process is at once.
_CHECK_INTERVAL = timedelta(seconds=1)
# In seconds, for the last output after the end of the process.
_OUTPUT_TIMEOUT = 5.0
_DEFAULT_TIMEOUT, _DEFAULT_GRACE = "3600", "10"
_ADDRESS_TAKEN, _ATTEMPTS = "address already in use", 5
_LOST = "its container was removed, or has never started"


class JobExecution:
    """The work on one run. `begin` and `adopt` make it, and one thread calls `execute`.

    While it exists, it holds the lock of the run, so that no other process records the end. A process that is killed
    leaves the container, and another process adopts the run. `context.cancelled` cancels it.
    """

    def __init__(self, context: StageContext, run: JobRun, held: ExitStack, job: Job | None = None) -> None:
        self.run = run
        self._context = context
        self._held = held
        self._job = job
        self._wake = threading.Event()
        self._is_detached = False

    @classmethod
    def begin(
        cls,
        context: StageContext,
        job: Job,
        scheduled_for: datetime | None = None,
        handled: JobSchedule | None = None,
    ) -> Self | None:
        """Return a new run, which is on disk. None if it may not begin: see `JobRuns.begin`."""
        name = f"{job.pipeline}.{job.name}.r{job.release}.{randomness.token_hex(3)}"
        with ExitStack() as held:
            _hold(context, held, job.pipeline, job.name, name)
            run = context.store.job_runs.begin(
                job.pipeline, job.name, job.release, name, context.clock.now(), scheduled_for, handled
            )
            if run is None:
                context.home.lock(name).unlink(missing_ok=True)
                return None
            return cls(context, run, held.pop_all(), job)

    @classmethod
    def adopt(cls, context: StageContext, run: JobRun) -> Self | None:
        """Return a run whose process was killed. None if a process works on it, or if it is over."""
        with ExitStack() as held:
            try:
                _hold(context, held, run.pipeline, run.job, run.container)
            except LockHeld:
                return None
            current = context.store.job_runs.get(run.pipeline, run.number)
            if current is None or current.state.over:
                return None
            return cls(context, current, held.pop_all())

    def detach(self) -> None:
        """Let `execute` return soon. The container runs on, and another process adopts the run."""
        self._is_detached = True
        self._wake.set()

    def execute(self, *, only_ended: bool = False) -> JobRun:
        """Start the container of a new run, follow it to its end, and return the run with its outcome.

        With `only_ended`, a container that runs is left alone. The run then has no outcome, as after `detach`.
        Raises `StoreFault`.
        """
        with self._held:
            engine = self._connect()
            if engine is not None:
                with engine:
                    if self._job is None or self._start(engine, self._job):
                        self._follow(engine, only_ended=only_ended)
            found = self._context.store.job_runs.get(self.run.pipeline, self.run.number) or self.run
            if found.state.over:
                self._context.home.lock(self.run.container).unlink(missing_ok=True)
        return found

    def _connect(self) -> Engine | None:
        """Return the engine. A new run fails without one, and an adopted one waits for it."""
        from pipeline.engine.hosts import local_engine

        while not self._is_detached:
            try:
                return local_engine(self._context.home.id)
            except EngineFault as fault:
                if self._job is not None:
                    self._record(Outcome(JobState.FAILED, None, f"cannot start: {fault.message}"))
                    return None
                self._pause()
        return None

    def _start(self, engine: Engine, job: Job) -> bool:
        """Start the container. Return False if the run has ended by that."""
        run = self.run
        words = f"for {run.scheduled_for.astimezone():%Y-%m-%d %H:%M}" if run.scheduled_for else "by a command"
        self._context.events.emit_action(
            EventKind.JOB_STARTED,
            f"{run.job}: run {run.number} of release {run.release} started {words}",
            job=run.job,
            job_run=run.number,
            release=run.release,
            scheduled_for=run.scheduled_for.isoformat() if run.scheduled_for else None,
        )
        try:
            engine.networks.ensure(run.pipeline, again=True)
            self._create(engine, job)
        except (StageFailed, ConfigError) as failure:
            self._record(Outcome(JobState.FAILED, None, f"cannot start: {failure.message}"))
            return False
        except EngineFault as fault:
            # The engine may have started it although its answer was lost.
            return self._is_started(engine, fault)
        return True

    def _create(self, engine: Engine, job: Job) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                engine.containers.start(job.container(self._context, engine, self.run.container))
            except StageFailed as failure:
                # Another process has chosen the same address at the same time.
                if _ADDRESS_TAKEN not in failure.message.lower() or attempt == _ATTEMPTS - 1:
                    raise
            else:
                return

    def _is_started(self, engine: Engine, fault: EngineFault) -> bool:
        while not self._is_detached:
            try:
                found = engine.containers.find(self.run.container)
            except EngineFault:
                self._pause()
                continue
            if found is not None and found.state != "created":
                return True
            if found is not None:
                engine.containers.remove(found.id)
            self._record(Outcome(JobState.FAILED, None, f"cannot start: {fault.message}"))
            return False
        return False

    def _follow(self, engine: Engine, *, only_ended: bool) -> None:
        path = self._context.home.job_log(self.run.pipeline, self.run.container)
        mask = Mask(self._context.configuration.secrets.values())
        with JobOutput(path, mask, self.run.job) as output:
            reader = threading.Thread(target=self._read, args=(engine, output), name=f"output of {self.run.container}")
            reader.daemon = True
            reader.start()
            try:
                while not (self._is_detached or self._step(engine, reader, only_ended=only_ended)):
                    pass
            finally:
                self.detach()

    def _step(self, engine: Engine, reader: threading.Thread, *, only_ended: bool) -> bool:
        """Look at the container once. Return whether nothing is left to do."""
        try:
            return self._look(engine, reader, only_ended=only_ended)
        except EngineFault:
            # The engine is being restarted, for example.
            self._context.clock.wait(threading.Event(), _CHECK_INTERVAL)
            return only_ended

    def _look(self, engine: Engine, reader: threading.Thread, *, only_ended: bool) -> bool:
        found = self._find(engine)
        if found is None or found.state == "created":
            if found is not None:
                engine.containers.remove(found.id)
            self._record(Outcome(JobState.LOST, None, _LOST))
            return True
        if not found.is_running:
            reader.join(_OUTPUT_TIMEOUT)
            self._record(outcome_of(self._current(), found), found)
            engine.containers.remove(found.id)
            return True
        if only_ended:
            return True
        self._stop_if_wanted(engine, found)
        return False

    def _stop_if_wanted(self, engine: Engine, found: Container) -> None:
        timeout = timedelta(seconds=float(found.labels.get(LABEL_TIMEOUT, _DEFAULT_TIMEOUT)))
        left = timeout - self._context.clock.since(self.run.started)
        if self._context.cancelled.is_set():
            self._context.store.job_runs.request_cancel(self.run.pipeline, self.run.number, self._context.events.by)
        is_cancelled, is_late = self._current().is_cancelled, left <= timedelta(0)
        if is_late and not is_cancelled:
            # Before the stop: after a kill in between, the process that records the end knows its reason.
            self._context.store.job_runs.set_timed_out(self.run.pipeline, self.run.number, timeout)
        if is_cancelled or is_late:
            engine.containers.stop(found.id, grace_of(found))
        else:
            self._pause(min(left, _CHECK_INTERVAL))

    def _current(self) -> JobRun:
        """Return the run as stored. Other processes may have requested its end."""
        return self._context.store.job_runs.get(self.run.pipeline, self.run.number) or self.run

    def _find(self, engine: Engine) -> Container | None:
        listed = engine.containers.find(self.run.container)
        if listed is None or listed.is_running:
            return listed
        return engine.containers.inspect(listed.id)

    def _read(self, engine: Engine, output: JobOutput) -> None:
        """Write the output until the process ends. It is read again from the start if the engine was away."""
        while not self._is_detached:
            try:
                output.start_over()
                for line in engine.containers.stream(self.run.container):
                    output.line(line)
                    if output.is_full or self._is_detached:
                        break
            except (EngineFault, StoreFault):
                self._context.clock.wait(threading.Event(), _CHECK_INTERVAL)
            else:
                break
        self._wake.set()

    def _pause(self, interval: timedelta = _CHECK_INTERVAL) -> None:
        self._context.clock.wait(self._wake, interval)
        if not self._is_detached:
            self._wake.clear()

    def _record(self, outcome: Outcome, ended: Container | None = None) -> None:
        record(self._context, self.run, outcome, ended)


def grace_of(container: Container) -> timedelta:
    """Return the time between SIGTERM and SIGKILL that a job's release gives it."""
    return timedelta(seconds=float(container.labels.get(LABEL_GRACE, _DEFAULT_GRACE)))


def _hold(context: StageContext, held: ExitStack, pipeline: str, job: str, container: str) -> None:
    held.enter_context(work_lock(context.home.lock(container), f"job {job} of {pipeline}"))

"""The operations that this process carries out, each in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path

import structlog

from pipeline.base.errors import LockHeld, PenstockError
from pipeline.base.files import make_folder
from pipeline.base.lock import is_held, work_lock
from pipeline.stacks.error import StackError
from pipeline.stacks.operation import StackOperation, Surroundings
from pipeline.stacks.start import start_deletion
from pipeline.stacks.state import StackState
from pipeline.stacks.status import StackStatus
from pipeline.stacks.store import StackStore

_logger = structlog.get_logger(__name__)
# For the thread of an operation that has just ended, which still holds the lock.
_LOCK_TIMEOUT = 2.0
_NOTED_TIMEOUT = 10.0


@dataclass
class _Job:
    operation: StackOperation
    ended: threading.Event
    delete: threading.Event
    is_resumed: bool
    deleter: str | None = None
    """The user who wants the stack to be deleted, set before `delete`."""


class Claim:
    """The right to work on one stack."""

    def __init__(self, read: Callable[[], StackState], held: ExitStack) -> None:
        self._read = read
        self._held = held

    @cached_property
    def state(self) -> StackState:
        """The stack as it is on disk, once it is stored."""
        return self._read()

    def take_over(self) -> ExitStack:
        """Return the lock, for a thread that works on."""
        return self._held.pop_all()


class StackJobs:
    """Starts, cancels and awaits operations.

    One process at a time works on a stack, and holds the stack's lock meanwhile. Safe to use from any thread.
    """

    def __init__(self, store: StackStore, around: Surroundings, locks: Path) -> None:
        self._store = store
        self._around = around
        self._locks = locks
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.Lock()
        self._closing = False
        self.on_resume: list[Callable[[], object]] = []
        """What is called before an operation is continued that another process has left."""
        make_folder(locks)

    @contextmanager
    def claim(self, stack_id: str, *, wait: float = _LOCK_TIMEOUT) -> Iterator[Claim]:
        """Hold the lock of a stack, so that no other process works on it. Raises `LockHeld`.

        The stack need not be stored yet.
        """
        with ExitStack() as held:
            held.enter_context(work_lock(self._file(stack_id), "an operation on a stack", wait=wait))
            yield Claim(lambda: StackState(self._store, stack_id, self._around.clock), held)

    def start(self, claim: Claim, *, is_resumed: bool = False) -> None:
        """Carry out the operation that the stack is in, and release the claim at its end. Returns immediately."""
        job = _Job(StackOperation(claim.state, self._around), threading.Event(), threading.Event(), is_resumed)
        stack_id, held = claim.state.stack.id, claim.take_over()
        with self._lock:
            self._jobs[stack_id] = job
        name = f"stack {claim.state.stack.name}"
        threading.Thread(
            target=self._carry_out, args=(stack_id, job, held, claim.state), name=name, daemon=True
        ).start()

    def is_running(self, stack_id: str) -> bool:
        """Return whether this process works on a stack."""
        return stack_id in self._jobs

    def is_held(self, stack_id: str) -> bool:
        """Return whether a process works on a stack."""
        return is_held(self._file(stack_id))

    def cancel(self, stack_id: str, reason: str, *, by: str | None = None, delete: bool = False) -> None:
        """Cancel an operation for the user `by`. With `delete`, delete the stack then. It is on disk when this returns.

        Raises `StackError` if another process carries it out.
        """
        job = self._jobs.get(stack_id)
        if job is None:
            raise StackError(f"another process works on {stack_id}", hint="cancel it there, with Ctrl-C")
        if delete:
            job.deleter = by
            job.delete.set()
        job.operation.cancel(reason, cancelled_by=by, **({"on_failure": "DELETE"} if delete else {}))
        job.operation.noted.wait(_NOTED_TIMEOUT)

    def wait(self, stack_id: str, timeout: timedelta | None = None) -> bool:
        """Wait until this process does not work on a stack. Return whether that is so."""
        job = self._jobs.get(stack_id)
        return job is None or job.ended.wait(None if timeout is None else timeout.total_seconds())

    def resume(self) -> list[str]:
        """Start the operations that a process has left, and return the ARNs of their stacks."""
        return [stack_id for stack_id in self._store.unfinished() if self.resume_one(stack_id)]

    def resume_one(self, stack_id: str) -> bool:
        """Start the operation of a stack if a process has left it. Return whether it was started."""
        if self._closing or self.is_running(stack_id):
            return False
        try:
            with self.claim(stack_id, wait=0) as claim:
                is_left = claim.state.stack.status.in_progress
                if is_left:
                    self.start(claim, is_resumed=True)
                return is_left
        except LockHeld:
            return False

    def close(self, timeout: timedelta) -> None:
        """Suspend all operations after the calls that are being made. The next process resumes them."""
        self._closing = True
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            job.operation.suspend()
        for job in jobs:
            job.ended.wait(timeout.total_seconds())

    def _carry_out(self, stack_id: str, job: _Job, held: ExitStack, state: StackState) -> None:
        try:
            with held:
                if job.is_resumed:
                    self._prepare()
                stack = job.operation.run()
                if job.delete.is_set() and not stack.status.in_progress and stack.deleted is None:
                    # The request came after the last step, so there was nothing to cancel.
                    start_deletion(state, by=job.deleter)
                    stack = job.operation.run()
                if stack.status is StackStatus.DELETE_COMPLETE:
                    self._file(stack_id).unlink(missing_ok=True)
        except PenstockError as error:
            # Such as a full disk. The daemon resumes the operation later, else the next command does.
            _logger.warning("operation of a stack interrupted", stack=stack_id, error=str(error))
        finally:
            with self._lock:
                # The lock is free, so the next operation may have begun.
                if self._jobs.get(stack_id) is job:
                    del self._jobs[stack_id]
            job.ended.set()

    def _prepare(self) -> None:
        for call in self.on_resume:
            try:
                call()
            except PenstockError as error:
                # The operation itself fails then, if it needs that, and is rolled back.
                _logger.warning("not completed before an operation is continued", error=str(error))

    def _file(self, stack_id: str) -> Path:
        return self._locks / stack_id.rpartition("/")[2]

"""A command's access to stacks: the daemon that acts for it, or the stacks themselves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pipeline.base.clock import SYSTEM
from pipeline.base.errors import Cancelled, PenstockError, RollbackFailed, RolledBack, StageFailed, SystemFault
from pipeline.base.home import Home
from pipeline.cli.user import current_user
from pipeline.stacks.offered import open_stacks
from pipeline.stacks.status import StackStatus

if TYPE_CHECKING:
    from pipeline.http.client import Client
    from pipeline.stacks.records import Stack, StackEvent
    from pipeline.stacks.stacks import Stacks

_POLL_INTERVAL = timedelta(seconds=0.1)
# A daemon that has just accepted a command takes the lock soon, and one that ends releases it.
_ABANDONED_AFTER = timedelta(seconds=5)
_S = StackStatus
_ERRORS: dict[StackStatus, type[PenstockError]] = {
    _S.CREATE_FAILED: StageFailed,
    _S.UPDATE_FAILED: StageFailed,
    _S.DELETE_FAILED: StageFailed,
    _S.ROLLBACK_COMPLETE: RolledBack,
    _S.UPDATE_ROLLBACK_COMPLETE: RolledBack,
    _S.ROLLBACK_FAILED: RollbackFailed,
    _S.UPDATE_ROLLBACK_FAILED: RollbackFailed,
}


@dataclass(frozen=True)
class StackSession:
    """The stacks of a home, for reading and, without a `daemon`, for acting."""

    home: Home
    stacks: Stacks
    owner: str
    daemon: Client | None

    def ask(self, name: str, command: str, body: dict[str, Any]) -> str:
        """Let the daemon begin an operation on a stack, by name or ARN. Return the ARN of the stack."""
        assert self.daemon is not None
        found = self.stacks.find(self.owner, name, "Stack [{}] does not exist")
        return str(
            self.daemon.ask(
                "POST", f"/v1/stacks/{found.name}/{command}", {"owner": self.owner, "by": current_user(), **body}
            )["id"]
        )

    def ask_to_create(self, body: dict[str, Any]) -> str:
        """Let the daemon begin to create a stack. Return the ARN of the stack."""
        assert self.daemon is not None
        return str(self.daemon.ask("POST", "/v1/stacks", {"owner": self.owner, "by": current_user(), **body})["id"])

    def last_event(self, name: str) -> int:
        """Return the id of the latest event of a stack, 0 if there is none."""
        stack = self.stacks.store.find(self.owner, name)
        return max((number for number, _ in self.stacks.store.events(stack.id)), default=0) if stack else 0

    def resume(self, name: str, show: Callable[[StackEvent], None], cancelled: threading.Event) -> None:
        """Continue an operation on a stack that an earlier process has left, to its end. A daemon does so by itself."""
        stack = self.stacks.store.find(self.owner, name)
        if stack is None or self.daemon is not None:
            return
        last = self.last_event(name)
        if self.stacks.jobs.resume_one(stack.id):
            self.follow(stack.id, last, show, cancelled)

    def follow(
        self, stack_id: str, after: int, show: Callable[[StackEvent], None], cancelled: threading.Event
    ) -> Stack:
        """Show the events of an operation until it has ended. Return the stack.

        When `cancelled` is set, the operation is cancelled once. Raises `SystemFault` if no process carries it out any
        more.
        """
        told = False
        while True:
            # In this order: the last events are stored together with the status.
            stack = self.stacks.store.get(stack_id)
            for number, event in self.stacks.store.events(stack_id, after):
                after = number
                show(event)
            if not stack.status.in_progress:
                return stack
            if cancelled.is_set() and not told:
                told = True
                self._cancel(stack_id)
            self._check_carried_out(stack_id)
            SYSTEM.wait(threading.Event() if told else cancelled, _POLL_INTERVAL)

    def _cancel(self, stack_id: str) -> None:
        # The operation may have ended meanwhile. Its events show the outcome.
        with suppress(PenstockError):
            if self.daemon is None:
                self.stacks.cancel(self.stacks.store.get(stack_id), by=current_user())
            else:
                self.ask(stack_id, "cancel", {})

    def _check_carried_out(self, stack_id: str) -> None:
        if self.stacks.jobs.is_running(stack_id) or self.stacks.jobs.is_held(stack_id):
            return
        deadline = SYSTEM.monotonic() + _ABANDONED_AFTER.total_seconds()
        while SYSTEM.monotonic() < deadline:
            if self.stacks.jobs.is_held(stack_id) or not self.stacks.store.get(stack_id).status.in_progress:
                return
            SYSTEM.wait(threading.Event(), _POLL_INTERVAL)
        raise SystemFault(
            f"the operation on {stack_id} was interrupted",
            hint="the daemon or the next `pipeline stack` command continues it; see the daemon's log for the reason",
        )


@contextmanager
def stack_session(owner: str, *, acting: bool = False) -> Iterator[StackSession]:
    """Open the stacks of the home.

    With `acting`, find the daemon. What this process carries out is suspended at the end.
    """
    home = Home.locate()
    daemon = None
    if acting and home.daemon_socket.exists():
        from pipeline.http.client import Client, Daemon

        daemon = Client(home.daemon_socket) if Daemon.find(home) else None
    stacks = open_stacks(home)
    try:
        yield StackSession(home, stacks, owner, daemon)
    finally:
        stacks.close()


def raise_outcome(session: StackSession, stack: Stack, wanted: StackStatus, cancelled: threading.Event) -> None:
    """Raise the error of an operation that has ended otherwise than it was meant to."""
    if stack.status is wanted:
        return
    reason = first_failure(session, stack) or stack.reason
    message = f"{stack.name}: {stack.status}: {reason}"
    error = Cancelled if cancelled.is_set() else _ERRORS.get(stack.status, RolledBack)
    raise error(message, hint=f"`pipeline stack events {stack.name}` shows what happened")


def first_failure(session: StackSession, stack: Stack) -> str | None:
    """Return the first resource that has failed in the latest operation, with its reason."""
    events = [event for _, event in session.stacks.store.events(stack.id)]
    starts = [number for number, event in enumerate(events) if event.reason == "User Initiated"]
    for event in events[max(starts, default=0) :]:
        if event.status.endswith("_FAILED") and event.logical_id != stack.name:
            return f"{event.logical_id}: {event.reason}"
    return None

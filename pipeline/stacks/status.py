"""The states of stacks and resources, as CloudFormation names them, and how a stack moves through them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class StackStatus(StrEnum):
    """The state of a stack. Those that end in `IN_PROGRESS` are phases of an operation, but REVIEW_IN_PROGRESS."""

    REVIEW_IN_PROGRESS = "REVIEW_IN_PROGRESS"
    CREATE_IN_PROGRESS = "CREATE_IN_PROGRESS"
    CREATE_COMPLETE = "CREATE_COMPLETE"
    CREATE_FAILED = "CREATE_FAILED"
    ROLLBACK_IN_PROGRESS = "ROLLBACK_IN_PROGRESS"
    ROLLBACK_COMPLETE = "ROLLBACK_COMPLETE"
    ROLLBACK_FAILED = "ROLLBACK_FAILED"
    UPDATE_IN_PROGRESS = "UPDATE_IN_PROGRESS"
    UPDATE_COMPLETE_CLEANUP_IN_PROGRESS = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
    UPDATE_COMPLETE = "UPDATE_COMPLETE"
    UPDATE_FAILED = "UPDATE_FAILED"
    UPDATE_ROLLBACK_IN_PROGRESS = "UPDATE_ROLLBACK_IN_PROGRESS"
    UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS = "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"
    UPDATE_ROLLBACK_COMPLETE = "UPDATE_ROLLBACK_COMPLETE"
    UPDATE_ROLLBACK_FAILED = "UPDATE_ROLLBACK_FAILED"
    DELETE_IN_PROGRESS = "DELETE_IN_PROGRESS"
    DELETE_COMPLETE = "DELETE_COMPLETE"
    DELETE_FAILED = "DELETE_FAILED"

    @property
    def in_progress(self) -> bool:
        """Whether an operation works on the stack, or was interrupted."""
        return self in PHASES

    @property
    def can_be_cancelled(self) -> bool:
        """True if an operation is in progress that can be cancelled: a creation or an update."""
        return self in PHASES and PHASES[self].work is Work.PUT

    @property
    def can_be_updated(self) -> bool:
        """Whether an update or a change set may be executed."""
        return self in _UPDATABLE


class ResourceStatus(StrEnum):
    """The state of a resource."""

    CREATE_IN_PROGRESS = "CREATE_IN_PROGRESS"
    CREATE_COMPLETE = "CREATE_COMPLETE"
    CREATE_FAILED = "CREATE_FAILED"
    UPDATE_IN_PROGRESS = "UPDATE_IN_PROGRESS"
    UPDATE_COMPLETE = "UPDATE_COMPLETE"
    UPDATE_FAILED = "UPDATE_FAILED"
    DELETE_IN_PROGRESS = "DELETE_IN_PROGRESS"
    DELETE_COMPLETE = "DELETE_COMPLETE"
    DELETE_FAILED = "DELETE_FAILED"
    DELETE_SKIPPED = "DELETE_SKIPPED"

    @property
    def in_progress(self) -> bool:
        """Whether a call for the resource has begun and not ended."""
        return self.endswith("_IN_PROGRESS")


class Work(StrEnum):
    """What a phase does. `PUT`: create and update. `RESTORE`: update back. The others delete.

    `CLEAN_UP` deletes what an update has replaced or removed, `UNDO` what an operation that failed has created, and
    `DELETE` everything.
    """

    PUT = "put"
    RESTORE = "restore"
    CLEAN_UP = "clean up"
    UNDO = "undo"
    DELETE = "delete"


@dataclass(frozen=True)
class Phase:
    """A phase of an operation: its work, and the status of the stack after it."""

    work: Work
    succeeded: StackStatus
    failed: StackStatus


S = StackStatus
PHASES = {
    S.CREATE_IN_PROGRESS: Phase(Work.PUT, S.CREATE_COMPLETE, S.ROLLBACK_IN_PROGRESS),
    S.ROLLBACK_IN_PROGRESS: Phase(Work.UNDO, S.ROLLBACK_COMPLETE, S.ROLLBACK_FAILED),
    S.UPDATE_IN_PROGRESS: Phase(Work.PUT, S.UPDATE_COMPLETE_CLEANUP_IN_PROGRESS, S.UPDATE_ROLLBACK_IN_PROGRESS),
    S.UPDATE_COMPLETE_CLEANUP_IN_PROGRESS: Phase(Work.CLEAN_UP, S.UPDATE_COMPLETE, S.UPDATE_COMPLETE),
    S.UPDATE_ROLLBACK_IN_PROGRESS: Phase(
        Work.RESTORE, S.UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS, S.UPDATE_ROLLBACK_FAILED
    ),
    S.UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS: Phase(
        Work.UNDO, S.UPDATE_ROLLBACK_COMPLETE, S.UPDATE_ROLLBACK_COMPLETE
    ),
    S.DELETE_IN_PROGRESS: Phase(Work.DELETE, S.DELETE_COMPLETE, S.DELETE_FAILED),
}
"""The phases of operations. The status on disk is the phase, so an operation that was interrupted goes on from it."""

KEPT_AFTER_FAILURE = {
    S.CREATE_IN_PROGRESS: S.CREATE_FAILED,
    S.UPDATE_IN_PROGRESS: S.UPDATE_FAILED,
}
"""The status after a failure if rollback is disabled."""

_UPDATABLE = frozenset({S.CREATE_COMPLETE, S.UPDATE_COMPLETE, S.UPDATE_ROLLBACK_COMPLETE, S.UPDATE_FAILED})

"""The interface of a monitor of a data plane: whether it responds, and what it reports by itself."""

from __future__ import annotations

from typing import Protocol


class PlaneMonitor(Protocol):
    """Reports of one data plane to the process that supervises it.

    Order: `open`, any number of the others, `close`. One thread at a time. While no process has opened a monitor, or
    while it does not read, the plane drops its reports: it never waits, and loses no request.
    """

    def open(self) -> bool:
        """Receive reports from now on. Return whether this is so. Repeat it, because the path may have been removed."""

    def close(self) -> None:
        """Receive no more reports."""

    def fileno(self) -> int:
        """Return a descriptor that is readable when there are reports, or -1 without `open`."""

    def owners(self) -> set[str]:
        """Return the owners of the targets that went up or down or into maintenance since the last call.

        And of the groups for which a request is held. Does not wait.
        """

    def exits(self) -> tuple[int, ...]:
        """Return descriptors that are readable when a process beside the plane has exited, for the next wait.

        The reconciliation that follows starts such a process again.
        """

    def is_responding(self) -> bool:
        """Return whether the plane runs, can be controlled and responds within seconds. Changes nothing."""

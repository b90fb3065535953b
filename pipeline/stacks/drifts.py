"""Detections of drift, and their results on disk."""

from __future__ import annotations

import uuid
from collections.abc import Collection

from pipeline.stacks.drift import detect, status_of
from pipeline.stacks.error import StackError
from pipeline.stacks.records import DriftReport, Stack
from pipeline.stacks.stacks import Stacks


class Drifts:
    """The drift of the stacks of a home. Safe to use from any thread."""

    def __init__(self, stacks: Stacks) -> None:
        self._stacks = stacks

    def detect(self, owner: str, name: str, names: Collection[str] | None = None) -> DriftReport:
        """Compare the resources of a stack with what exists, and store the result. Changes no resource.

        Raises `StackError` during an operation.
        """
        stack = self._stacks.find(owner, name)
        if stack.status.in_progress:
            raise StackError(
                f"Drift detection cannot be performed on stack [{stack.id}] while it is in {stack.status} state"
            )
        resources = self._stacks.store.resources(stack.id)
        now = self._stacks.clock.now()
        found = detect(stack.id, resources, lambda kind: self._stacks.provider(stack, kind), now, names)
        report = DriftReport(str(uuid.uuid4()), stack.id, now, status_of(found), tuple(found))
        self._stacks.store.put_drift(report)
        return report

    def report(self, owner: str, key: str) -> tuple[Stack, DriftReport]:
        """Return a result by its id, or the latest of a stack by name or ARN."""
        stack = self._stacks.store.find(owner, key)
        report = self._stacks.store.drift(stack.id if stack else key)
        found = self._stacks.store.find(owner, report.stack) if report else None
        if report is None or found is None:
            raise StackError(f"Drift detection result for {key} does not exist", hint="detect drift first")
        return found, report

"""What the deletion of a stack would do, to be shown before it begins."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pipeline.stacks.plan import Step, deletes, ready
from pipeline.stacks.records import Stack
from pipeline.stacks.start import check_retained
from pipeline.stacks.status import StackStatus, Work
from pipeline.stacks.store import StackStore


@dataclass(frozen=True)
class DeletionPlan:
    """The steps of a deletion in an order in which they can be done, and what makes the deletion impossible now."""

    steps: tuple[Step, ...]
    obstacles: tuple[str, ...]


def deletion_plan(store: StackStore, stack: Stack, retained: Collection[str] = ()) -> DeletionPlan:
    """Return what a deletion of a stack would do in its present state, if it gives up the resources in `retained`.

    Raises `StackError` if it cannot.
    """
    resources = store.resources(stack.id)
    check_retained(stack, resources, retained)
    steps = deletes(Work.DELETE, resources, stack.stable, retained=retained)
    return DeletionPlan(tuple(_in_order(steps)), tuple(_obstacles(store, stack)))


def _in_order(steps: Sequence[Step]) -> list[Step]:
    left, found = list(steps), list[Step]()
    while left:
        found += (begun := ready(left, ()))
        left = [step for step in left if step not in begun]
    return found


def _obstacles(store: StackStore, stack: Stack) -> list[str]:
    found = []
    if stack.termination_protection:
        found.append("termination protection is enabled")
    if stack.status.in_progress and stack.status is not StackStatus.CREATE_IN_PROGRESS:
        found.append(f"an operation is in progress, its state is {stack.status}")
    for name, _, exporter in store.exports(stack.owner):
        if exporter == stack.id and (users := store.importers(stack.owner, name)):
            found.append(f"the export {name} is in use by {', '.join(users)}")
    return found

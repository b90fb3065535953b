"""The steps from what is stored of a stack to what a phase of its operation wants.

Pure. The steps that are done follow from the stored resources, so the plan after a crash is the rest of the plan before
it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pipeline.stacks.records import Definition, StackResource, Standing
from pipeline.stacks.status import ResourceStatus, Work


class Action(StrEnum):
    """What a step does.

    `PUT` creates, updates or replaces a resource, or leaves it: that depends on values that are known only when the
    resources before it are done. `RESTORE` brings back what a resource was before the operation. `RETAIN` gives a
    resource up without deleting it.
    """

    PUT = "put"
    RESTORE = "restore"
    DELETE = "delete"
    RETAIN = "retain"


@dataclass(frozen=True)
class Step:
    """A step that is left. `after` are the keys of the steps that must end before it.

    `resource` is the stored resource, None for one that does not exist yet.
    """

    action: Action
    logical_id: str
    resource: StackResource | None
    after: frozenset[str]

    @property
    def key(self) -> str:
        """The identity of the step in its plan."""
        return self.resource.token if self.resource and self.action is not Action.PUT else self.logical_id


class Change(StrEnum):
    """What a step of action `PUT` has to do. `ADOPT`: only policies, metadata or dependencies differ."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    ADOPT = "adopt"
    NONE = "none"


def current_resources(resources: Collection[StackResource]) -> dict[str, StackResource]:
    """Return the resource that each logical name means."""
    return {resource.logical_id: resource for resource in resources if resource.standing is Standing.CURRENT}


def puts(wanted: Mapping[str, Collection[str]], resources: Collection[StackResource], operation: int) -> list[Step]:
    """Return the steps that bring the current resources to a template. `wanted` has what each name depends on."""
    settled = {name for name, found in current_resources(resources).items() if found.settled_in == operation}
    begun = {r.logical_id: r for r in resources if r.standing is Standing.NEW and r.created_in == operation}
    left = wanted.keys() - settled
    return [
        Step(Action.PUT, name, begun.get(name), frozenset(left.intersection(wanted[name])))
        for name in wanted
        if name in left
    ]


def restores(resources: Sequence[StackResource], stable: int) -> list[Step]:
    """Return the steps that bring back what the stack was after its operation `stable`."""
    left = {
        resource.logical_id: resource
        for resource in resources
        if resource.created_in <= stable
        and (resource.standing is Standing.REPLACED or (resource.standing is Standing.CURRENT and resource.former))
    }
    return [
        Step(Action.RESTORE, name, resource, frozenset(_tokens(left, (resource.former or resource.known).depends_on)))
        for name, resource in left.items()
    ]


def deletes(
    work: Work,
    resources: Sequence[StackResource],
    stable: int,
    wanted: Collection[str] = (),
    retained: Collection[str] = (),
) -> list[Step]:
    """Return the steps that delete what a phase does not keep, users before what they use.

    `wanted` are the names of the template, for `Work.CLEAN_UP`. Resources of the names in `retained` are not deleted.
    """
    doomed = [resource for resource in resources if _is_doomed(work, resource, stable, wanted)]
    current = current_resources(resources)
    users: dict[str, set[str]] = {}
    for resource in doomed:
        for name in resource.known.depends_on:
            users.setdefault(name, set()).add(resource.token)
    steps = [
        Step(
            Action.RETAIN if _is_retained(work, resource, current, retained) else Action.DELETE,
            resource.logical_id,
            resource,
            frozenset(users.get(resource.logical_id, ())) - {resource.token},
        )
        for resource in reversed(doomed)
    ]
    return _without_cycles(steps)


def change_of(resource: StackResource | None, wanted: Definition, replaces: frozenset[str]) -> Change:
    """Return what brings a resource to its wanted definition. `replaces` are properties that need a new resource."""
    if resource is None or resource.definition is None:
        return Change.CREATE
    found = resource.definition
    changed = changed_properties(found.properties, wanted.properties)
    if found.type != wanted.type or changed & replaces:
        return Change.REPLACE
    if changed or resource.status is ResourceStatus.UPDATE_FAILED:
        return Change.UPDATE
    return Change.NONE if found == wanted else Change.ADOPT


def changed_properties(before: Mapping[str, object], after: Mapping[str, object]) -> set[str]:
    """Return the names of the properties that differ, are new or are gone."""
    missing = object()
    return {name for name in {*before, *after} if before.get(name, missing) != after.get(name, missing)}


def ready(
    steps: Sequence[Step], busy: Collection[str], failed: Collection[str] = (), yielding: Collection[str] = ()
) -> list[Step]:
    """Return the steps that can begin now. Those in `yielding` have begun and hold up no other."""
    left = {step.key for step in steps}.difference(yielding)
    return [step for step in steps if step.key not in busy and step.key not in failed and not step.after & left]


def _is_doomed(work: Work, resource: StackResource, stable: int, wanted: Collection[str]) -> bool:
    if work is Work.DELETE or resource.standing is Standing.LEFTOVER:
        return True
    if work is Work.UNDO:
        return resource.created_in > stable
    return resource.standing is not Standing.CURRENT or resource.logical_id not in wanted


def _is_retained(
    work: Work, resource: StackResource, current: Mapping[str, StackResource], retained: Collection[str]
) -> bool:
    """Return whether a resource is given up instead of deleted: by its policy, or because its name is in `retained`."""
    if resource.logical_id in retained:
        return True
    if resource.definition is None or resource.standing in {Standing.NEW, Standing.LEFTOVER}:
        # It was never complete, or should be gone already.
        return False
    policy = resource.definition.deletion_policy
    if resource.standing is Standing.REPLACED:
        successor = current.get(resource.logical_id)
        return work is not Work.UNDO and successor is not None and successor.known.update_replace_policy == "Retain"
    return policy == "Retain" or (policy == "RetainExceptOnCreate" and work is not Work.UNDO)


def _tokens(resources: Mapping[str, StackResource], names: Collection[str]) -> set[str]:
    return {resources[name].token for name in names if name in resources}


def _without_cycles(steps: list[Step]) -> list[Step]:
    """Drop the dependencies of a first step if no step could begin.

    Resources that earlier operations left over follow from other templates, so dependencies may form a circle.
    """
    left, order = {step.key: step for step in steps}, list[str]()
    result: dict[str, Step] = {}
    while left:
        free = [key for key, step in left.items() if not step.after & left.keys()]
        for key in free or [next(iter(left))]:
            step = left.pop(key)
            result[key] = Step(step.action, step.logical_id, step.resource, step.after & set(order))
        order = list(result)
    return [result[step.key] for step in steps]

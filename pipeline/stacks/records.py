"""Stacks, resources, events and change sets as values. Each is stored as one JSON document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pipeline.base.clock import Stamp
from pipeline.stacks.status import ResourceStatus, StackStatus

STACK_TYPE = "AWS::CloudFormation::Stack"


class Standing(StrEnum):
    """What a stored resource is to its logical name.

    `new`: not complete yet. `current`: the one that the name means. `replaced`: another one has taken its place in
    this operation. `leftover`: an earlier operation could not delete it.
    """

    NEW = "new"
    CURRENT = "current"
    REPLACED = "replaced"
    LEFTOVER = "leftover"


@dataclass(frozen=True)
class Definition:
    """What a template says about a resource, with all values known. `properties` are as its provider accepts them."""

    type: str
    properties: Mapping[str, Any]
    depends_on: tuple[str, ...] = ()
    deletion_policy: str = "Delete"
    update_replace_policy: str = "Delete"
    metadata: Any = None


@dataclass(frozen=True)
class StackResource:
    """One resource that an operation has made, is making, or will delete.

    A logical name has several while it is replaced. `token` names this one, and `created_in` is the number of the
    operation that made it. `settled_in` is the last operation that has brought it to its template.

    `definition` is in effect, and None until the resource was created. `target` is being brought about. `former` was
    in effect before this operation, and None if the operation has not changed the resource.
    """

    token: str
    logical_id: str
    standing: Standing
    status: ResourceStatus
    since: Stamp
    created_in: int
    settled_in: int = 0
    reason: str = ""
    physical_id: str | None = None
    definition: Definition | None = None
    target: Definition | None = None
    former: Definition | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    ignored: bool = False

    @property
    def known(self) -> Definition:
        """The definition in effect, or the one that is being brought about."""
        found = self.definition or self.target
        assert found is not None
        return found


@dataclass(frozen=True)
class Goal:
    """What a stack should be: a template and the values for it.

    `parameters` are the values as DescribeStacks prints them. `resolved` has the values of those that name a parameter
    of SSM. `ssm` has all values of SSM's parameters that the template uses, by the names in it. They stay as they were
    when the operation began. `folder` is that of the template's file. Types that are not offered are refused unless
    `ignore_unknown`.
    """

    template: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    no_echo: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    description: str | None = None
    folder: str | None = None
    ignore_unknown: bool = False
    resolved: Mapping[str, str] = field(default_factory=dict)
    ssm: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StackOutput:
    """An output of a stack. `export` is the name under which other stacks import it."""

    name: str
    value: str
    description: str = ""
    export: str | None = None


@dataclass(frozen=True)
class Stack:
    """A stack. `id` is its ARN.

    `goal` is what the stack is, or becomes in the present operation. `former` is the goal before that operation.
    `operation` counts the operations, and `stable` is the last one that has ended well, to which a rollback returns.
    `on_failure` is `ROLLBACK`, `DELETE` or `DO_NOTHING`. `timeout` is in seconds. `cancelled` is the reason for which
    the present operation is to be cancelled, and `cancelled_by` the user who cancels it. A deletion gives up the
    resources in `retained`, and a rollback leaves those in `skipped` as they are.
    """

    id: str
    owner: str
    name: str
    region: str
    status: StackStatus
    goal: Goal
    created: Stamp
    since: Stamp
    reason: str = ""
    former: Goal | None = None
    updated: Stamp | None = None
    deleted: Stamp | None = None
    operation: int = 0
    stable: int = 0
    outputs: tuple[StackOutput, ...] = ()
    parent: str | None = None
    root: str | None = None
    termination_protection: bool = False
    on_failure: str = "ROLLBACK"
    timeout: float | None = None
    cancelled: str | None = None
    retained: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    change_set: str | None = None
    request_token: str | None = None
    cancelled_by: str | None = None


@dataclass(frozen=True)
class StackEvent:
    """One line of a stack's history. The events of the stack itself have its name as `logical_id`.

    `by` is the user who has requested what the event begins, None for what follows from it.
    """

    at: Stamp
    logical_id: str
    type: str
    status: str
    reason: str = ""
    physical_id: str = ""
    properties: Mapping[str, Any] | None = None
    request_token: str | None = None
    by: str | None = None


class ChangeSetStatus(StrEnum):
    """The state of a change set."""

    CREATE_COMPLETE = "CREATE_COMPLETE"
    FAILED = "FAILED"


class ExecutionStatus(StrEnum):
    """Whether a change set can be executed."""

    AVAILABLE = "AVAILABLE"
    UNAVAILABLE = "UNAVAILABLE"
    OBSOLETE = "OBSOLETE"
    EXECUTE_COMPLETE = "EXECUTE_COMPLETE"


@dataclass(frozen=True)
class ChangeSet:
    """The difference between a stack and another goal. `id` is its ARN, `stack` the ARN of its stack.

    `kind` is `CREATE` or `UPDATE`. `changes` are in the shape of DescribeChangeSet. `operation` is the number of the
    stack's operation to which the difference applies.
    """

    id: str
    stack: str
    name: str
    kind: str
    status: ChangeSetStatus
    execution: ExecutionStatus
    goal: Goal
    changes: tuple[Mapping[str, Any], ...]
    created: Stamp
    operation: int
    reason: str = ""
    description: str | None = None
    on_failure: str = "ROLLBACK"


@dataclass(frozen=True)
class DriftReport:
    """The result of a detection of drift. `resources` are in the shape of DescribeStackResourceDrifts."""

    id: str
    stack: str
    at: Stamp
    status: str
    resources: tuple[Mapping[str, Any], ...]

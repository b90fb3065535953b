"""Resources and outputs as a template declares them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.stacks.template.values import JSON


@dataclass(frozen=True)
class DeclaredResource:
    """A resource whose condition holds. `properties` and `metadata` still contain functions.

    `depends_on` has the names in `DependsOn` and those that Ref, Fn::GetAtt and Fn::Sub refer to, in branches of Fn::If
    that are chosen. `deletion_policy` is `Delete`, `Retain`, `RetainExceptOnCreate` or `Snapshot`;
    `update_replace_policy` is `Delete`, `Retain` or `Snapshot`. `creation_policy` and `update_policy` have no functions
    any more. `line` and `column` count from 1.
    """

    name: str
    type: str
    properties: Mapping[str, JSON]
    depends_on: tuple[str, ...]
    deletion_policy: str
    update_replace_policy: str
    metadata: JSON
    creation_policy: JSON
    update_policy: JSON
    line: int
    column: int


@dataclass(frozen=True)
class Output:
    """A value that a stack shows. `export` is the name under which other stacks import it, or None."""

    name: str
    value: str
    description: str
    export: str | None

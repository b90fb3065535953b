"""The interface of a resource type: what creates, reads, updates and deletes the resources of one type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol, TypeVar, get_args

from pydantic import ConfigDict, ValidationInfo, field_validator
from pydantic.alias_generators import to_pascal

from pipeline.base.schema import Model

POLL_INTERVAL = timedelta(seconds=0.5)
TIMEOUT = timedelta(minutes=15)
RANDOM_PART = 13
"""The length of a token's end that makes it unique, with its hyphen."""


class Properties(Model):
    """Base of the properties of a type. Their names in a template are those of the fields in PascalCase.

    Values in templates are often text, so `"80"` is read as a number. `80` and `true` are text where the type is
    text.
    """

    model_config = ConfigDict(alias_generator=to_pascal, validate_by_name=True, coerce_numbers_to_str=True)

    @field_validator("*", mode="before")
    @classmethod
    def _read_boolean_as_text(cls, value: Any, info: ValidationInfo) -> Any:
        is_text = isinstance(value, bool) and _is_text(cls.model_fields[str(info.field_name)].annotation)
        return str(value).lower() if is_text else value


@dataclass(frozen=True)
class State:
    """A resource that exists.

    `physical_id` is what `Ref` returns. `attributes` are for `Fn::GetAtt`, with dotted names such as `Endpoint.Port`.
    `properties` are those that the resource has now, in the form of a template, for the detection of drift. None means
    that the provider cannot tell. `reason` says what the type means on one machine, and is shown in events.
    """

    physical_id: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    properties: Mapping[str, Any] | None = None
    reason: str = ""


@dataclass(frozen=True)
class Pending:
    """The call has not finished. The same call is made again after `interval`.

    `physical_id` is given as soon as a new resource has one. `timeout` counts from the first call.

    With `otherwise`, the call waits for something that another resource of the stack brings about, such as targets in
    a group. An update that waits so holds up no resource that depends on it. If nothing else of the operation is in
    progress, `otherwise` is called in place of the call. It returns the result or raises an error.
    """

    reason: str = ""
    physical_id: str | None = None
    interval: timedelta = POLL_INTERVAL
    timeout: timedelta = TIMEOUT
    otherwise: Callable[[], State] | None = None


M = TypeVar("M", bound=Model)


def _is_text(annotation: Any) -> bool:
    kinds = {annotation, *get_args(annotation)}
    return str in kinds and bool not in kinds


class ResourceProvider(Protocol[M]):
    """Creates and changes the resources of one type for one stack.

    Order: `create` makes one resource, `update` changes it, `delete` removes it. Each call may be repeated with the
    same arguments, also by another process after a crash. A call that returns `Pending` is repeated until it returns
    something else. Deadlines, order and events are those of the stack.

    Errors: `ConfigError` for a mistake in the template, any other `PenstockError` or `AwsError` for the rest. After an
    error, `find` and `read` tell what exists.

    Threads: one at a time for one resource, several for several resources. A call should return within some seconds,
    because an operation that is cancelled waits for it.
    """

    properties: type[M]
    replaces: frozenset[str]
    """The names of the properties whose change needs a new resource, as written in templates."""

    def create(self, token: str, properties: M) -> State | Pending:
        """Make a resource. With a token that was used before, return what that call made.

        The token is `STACK-RESOURCE-RANDOM`, and unique. It may be used as the resource's name.
        """

    def find(self, token: str) -> str | None:
        """Return the physical id of what `create` made with this token, complete or not. None if there is nothing."""

    def read(self, physical_id: str) -> State | None:
        """Return the resource as it is now, or None if it does not exist. Changes nothing."""

    def update(self, physical_id: str, before: M, after: M) -> State | Pending:
        """Change a resource to `after`, whether it has `before`, `after` or a part of both now."""

    def delete(self, physical_id: str) -> Pending | None:
        """Delete a resource. Succeeds if it does not exist."""


def short_name(token: str, length: int) -> str:
    """Return a token as a name of at most `length` characters. It keeps the random end, so it stays unique."""
    return token if len(token) <= length else token[: length - RANDOM_PART] + token[-RANDOM_PART:]


@dataclass(frozen=True)
class StackContext:
    """The stack for which a provider works.

    `folder` is the folder of its template, against which paths of nested templates are resolved. None if the template
    came without a file.
    """

    stack_id: str
    name: str
    owner: str
    region: str
    account: str
    tags: Mapping[str, str] = field(default_factory=dict)
    folder: str | None = None

    @property
    def made_by(self) -> str:
        """The maker to write into resources."""
        return f"stack/{self.name}"

"""AWS::CloudFormation::Stack: a stack in a stack, from a template in a local file."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import Field

from pipeline.base.errors import ConfigError
from pipeline.stacks.error import StackError
from pipeline.stacks.goals import StackRequest
from pipeline.stacks.provider import Pending, Properties, StackContext, State, short_name
from pipeline.stacks.records import Stack
from pipeline.stacks.stacks import NO_UPDATES, Stacks
from pipeline.stacks.status import StackStatus

TYPE = "AWS::CloudFormation::Stack"
_MAX_NAME = 128
_MAX_TEMPLATE = 1_000_000
_POLL_INTERVAL = timedelta(seconds=0.1)
_S = StackStatus


class Tag(Properties):
    """A tag of the nested stack."""

    key: str
    value: str


class NestedStackProperties(Properties):
    """The properties of a nested stack."""

    template_url: str = Field(alias="TemplateURL")
    parameters: dict[str, str | list[str]] = Field(default_factory=dict)
    tags: list[Tag] = Field(default_factory=list)
    timeout_in_minutes: int | None = Field(default=None, ge=1)


class NestedStack:
    """Makes stacks. Their resources are theirs, and their outputs are attributes, `Outputs.NAME`."""

    properties = NestedStackProperties
    replaces = frozenset[str]()

    def __init__(self, stacks: Stacks, context: StackContext) -> None:
        self._stacks = stacks
        self._context = context

    def create(self, token: str, properties: NestedStackProperties) -> State | Pending:
        """Create the stack, and wait for it."""
        name = short_name(token, _MAX_NAME)
        stack = self._stacks.store.find(self._context.owner, name)
        if stack is None:
            parent = self._parent()
            minutes = properties.timeout_in_minutes
            stack = self._stacks.create(
                self._context.owner,
                self._context.region,
                name,
                self._request(properties),
                by=self._user(),
                parent=parent.id,
                root=parent.root or parent.id,
                timeout=minutes * 60.0 if minutes else None,
            )
        if stack.status.in_progress:
            return self._await(stack)
        if stack.status is not _S.CREATE_COMPLETE:
            raise ConfigError(f"Embedded stack {stack.id} was not successfully created: {self._reason(stack)}")
        return _state(stack)

    def find(self, token: str) -> str | None:
        """Find the stack by its name."""
        stack = self._stacks.store.find(self._context.owner, short_name(token, _MAX_NAME))
        return stack.id if stack else None

    def read(self, physical_id: str) -> State | None:
        """Return the stack, unless it was deleted."""
        stack = self._stack(physical_id)
        return _state(stack) if stack else None

    def update(
        self,
        physical_id: str,
        before: NestedStackProperties,  # noqa: ARG002
        after: NestedStackProperties,
    ) -> State | Pending:
        """Update the stack, and wait for it. An update of the stack that is in progress is cancelled by a rollback."""
        stack = self._stack(physical_id)
        if stack is None:
            raise ConfigError(f"Stack with id {physical_id} does not exist")
        request = self._request(after)
        marker = self._marker(request)
        if stack.status.in_progress:
            if stack.status is _S.UPDATE_IN_PROGRESS and stack.request_token != marker:
                self._cancel(stack)
            return self._await(stack)
        if self._stacks.goals.goal(stack, request)[0] == stack.goal and stack.status.can_be_updated:
            return _state(stack)
        if stack.request_token == marker:
            raise ConfigError(f"Embedded stack {stack.id} was not successfully updated: {self._reason(stack)}")
        try:
            stack = self._stacks.update(self._context.owner, stack.id, request, by=self._user(), request_token=marker)
        except StackError as error:
            if error.message != NO_UPDATES:
                raise
            return _state(stack)
        return self._await(stack)

    def delete(self, physical_id: str) -> Pending | None:
        """Delete the stack, and wait for it."""
        stack = self._stack(physical_id)
        if stack is None:
            return None
        if stack.status is _S.UPDATE_IN_PROGRESS:
            self._cancel(stack)
        elif stack.status is _S.CREATE_IN_PROGRESS or not stack.status.in_progress:
            if stack.status is _S.DELETE_FAILED and stack.request_token == self._marker():
                raise ConfigError(f"Embedded stack {stack.id} was not successfully deleted: {self._reason(stack)}")
            self._stacks.delete(self._context.owner, stack.id, request_token=self._marker(), by=self._user())
        return self._await(stack)

    def _await(self, stack: Stack) -> Pending:
        # A process that was killed has left the operations of both stacks.
        self._stacks.jobs.resume_one(stack.id)
        return Pending(f"{stack.name} is {stack.status}", stack.id, _POLL_INTERVAL)

    def _cancel(self, stack: Stack) -> None:
        if stack.cancelled is None and self._stacks.jobs.is_running(stack.id):
            parent = self._parent()
            self._stacks.jobs.cancel(stack.id, f"{parent.name} is {parent.status}", by=self._user())

    def _user(self) -> str:
        """Return the user whom the events of the stack name: the stack that it is in."""
        return f"stack {self._parent().name}"

    def _parent(self) -> Stack:
        return self._stacks.store.get(self._context.stack_id)

    def _marker(self, request: StackRequest | None = None) -> str:
        """Return the name of a request in the parent's present phase, to tell its failure from one before it."""
        parent = self._parent()
        digest = hashlib.sha256(repr(request).encode()).hexdigest()[:12]
        return f"{parent.operation}-{parent.status}-{digest}"

    def _stack(self, physical_id: str) -> Stack | None:
        stack = self._stacks.store.find(self._context.owner, physical_id)
        return stack if stack is not None and stack.deleted is None else None

    def _reason(self, stack: Stack) -> str:
        """Return the first failure of the stack's present operation, which caused the others."""
        events = [event for _, event in self._stacks.store.events(stack.id)]
        start = max(index for index, event in enumerate(events) if event.reason == "User Initiated")
        failed = (e for e in events[start:] if e.status.endswith("_FAILED") and e.logical_id != stack.name)
        first = next(failed, None)
        return f"{first.logical_id}: {first.reason}" if first else stack.reason

    def _request(self, properties: NestedStackProperties) -> StackRequest:
        file = self._file(properties.template_url)
        try:
            if file.stat().st_size > _MAX_TEMPLATE:
                raise ConfigError(f"TemplateURL: {file} is larger than 1 MB")
            text = file.read_text()
        except OSError as error:
            raise ConfigError(f"TemplateURL: cannot read {file}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"TemplateURL: {file} is not UTF-8 text: {error.reason}") from error
        values = properties.parameters.items()
        return StackRequest(
            text,
            {name: ",".join(value) if isinstance(value, list) else value for name, value in values},
            {**self._context.tags, **{tag.key: tag.value for tag in properties.tags}},
            ignore_unknown=self._parent().goal.ignore_unknown,
            source=file.name,
            folder=str(file.parent),
        )

    def _file(self, url: str) -> Path:
        parts = urlsplit(url)
        if parts.scheme not in {"", "file"} or (parts.scheme and parts.netloc not in {"", "localhost"}):
            raise ConfigError(
                f"TemplateURL must be a local file, got {url}", hint="write file:///PATH, or a path beside the template"
            )
        path = Path(unquote(parts.path) if parts.scheme else url)
        if path.is_absolute():
            return path
        if self._context.folder is None:
            raise ConfigError(
                f"TemplateURL {url} is relative, and the template of the stack came without a file",
                hint="write file:///PATH",
            )
        return Path(self._context.folder) / path


def _state(stack: Stack) -> State:
    return State(stack.id, {f"Outputs.{output.name}": output.value for output in stack.outputs})

"""What the providers of ELBv2's types have in common: resources of one kind, with an ARN as physical id."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

from pipeline.aws.errors import AwsError
from pipeline.base.errors import ConfigError
from pipeline.stacks.provider import Pending, Properties, State
from pipeline.stacks.providers.elbv2.client import Elbv2, is_missing, made_id

P = TypeVar("P", bound=Properties)


class Elbv2Resource(ABC, Generic[P]):
    """Makes resources of one kind. A type says how they are made, changed and shown."""

    kind: ClassVar[str]
    """The registry's name of such resources."""
    noun: ClassVar[str]
    """The noun in the names of ELBv2's operations, such as `Listener`."""
    properties: type[P]
    replaces: frozenset[str]

    def __init__(self, elbv2: Elbv2) -> None:
        self.elbv2 = elbv2

    def create(self, token: str, properties: P) -> State | Pending:
        """Make a resource."""
        arn = self.find(token)
        if arn is None:
            arn = self._make(token, properties)
            if not arn.endswith(made_id(token)):
                # The API returns one with the same settings, which somebody else has made.
                raise ConfigError(f"{arn} already exists")
        self._complete(arn, properties)
        return self._state(arn)

    def find(self, token: str) -> str | None:
        """Find a resource by the id that follows from the token."""
        return self.elbv2.made(self.kind, token)

    def read(self, physical_id: str) -> State | None:
        """Return a resource as the API describes it."""
        if not _is_arn(physical_id):
            return None
        try:
            return self._state(physical_id)
        except AwsError as error:
            if is_missing(error):
                return None
            raise

    def update(self, physical_id: str, before: P, after: P) -> State | Pending:
        """Change what can be changed."""
        return self._change(physical_id, before, after) or self._state(physical_id)

    def delete(self, physical_id: str) -> Pending | None:
        """Delete a resource."""
        if not _is_arn(physical_id):
            return None
        try:
            self.elbv2(f"Delete{self.noun}", **{f"{self.noun}Arn": physical_id})
        except AwsError as error:
            if not is_missing(error):
                raise
        return None

    @abstractmethod
    def _state(self, arn: str) -> State:
        """Return a resource. Raises `AwsError` if it does not exist."""

    @abstractmethod
    def _make(self, token: str, properties: P) -> str:
        """Make a resource with the id of the token. Return its ARN."""

    def _complete(self, arn: str, properties: P) -> None:
        """Set what cannot be given when a resource is made. May be repeated."""

    @abstractmethod
    def _change(self, arn: str, before: P, after: P) -> Pending | None:
        """Change a resource."""


def described(elbv2: Elbv2, noun: str, arn: str) -> dict[str, Any]:
    """Return what the API describes of a resource. Raises `AwsError` if it does not exist."""
    found: dict[str, Any] = dict(elbv2(f"Describe{noun}s", **{f"{noun}Arns": [arn]})[f"{noun}s"][0])
    return found


def _is_arn(physical_id: str) -> bool:
    # The API refuses other texts, and does not say that nothing has such a name.
    return physical_id.startswith("arn:")

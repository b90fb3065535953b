"""The resource types that stacks offer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ConfigDict

from pipeline.base.schema import Model
from pipeline.base.suggestion import nearest
from pipeline.stacks.error import StackError
from pipeline.stacks.provider import Pending, ResourceProvider, StackContext, State

Maker = Callable[[StackContext], ResourceProvider[Any]]


@dataclass(frozen=True)
class ResourceTypes:
    """Providers by the names of their types. A maker is called for each stack, and its provider is not kept."""

    makers: Mapping[str, Maker] = field(default_factory=dict)

    def check(self, used: Collection[str]) -> None:
        """Raise `StackError` for types that are not offered. It lists those that are."""
        unknown = sorted(set(used) - self.makers.keys())
        if not unknown:
            return
        near = sorted({found for name in unknown if (found := nearest(name, self.makers))})
        hint = f"did you mean {', '.join(near)}?; " if near else ""
        raise StackError(
            f"Template format error: Unrecognized resource types: [{', '.join(unknown)}]",
            hint=f"{hint}offered: {', '.join(sorted(self.makers)) or 'none'}; --ignore-unknown skips the others",
        )

    def provider(self, name: str, context: StackContext) -> ResourceProvider[Any]:
        """Return the provider of a type for a stack. A type that is not offered gets one that makes nothing."""
        maker = self.makers.get(name)
        return maker(context) if maker else IgnoredType(name)

    def is_ignored(self, name: str) -> bool:
        """Return whether a type is not offered."""
        return name not in self.makers


class AnyProperties(Model):
    """Properties of a type that is not known."""

    model_config = ConfigDict(extra="allow")


class IgnoredType:
    """Stands for resources of a type that is not offered. It makes nothing, and says so."""

    properties = AnyProperties
    replaces: frozenset[str] = frozenset()

    def __init__(self, name: str) -> None:
        self._name = name

    def create(self, token: str, properties: AnyProperties) -> State:  # noqa: ARG002
        """Make nothing."""
        return self._state(token)

    def find(self, token: str) -> str | None:
        """Return the token: there is nothing to find or to lose."""
        return token

    def read(self, physical_id: str) -> State | None:
        """Return the placeholder."""
        return self._state(physical_id)

    def update(self, physical_id: str, before: AnyProperties, after: AnyProperties) -> State:  # noqa: ARG002
        """Change nothing."""
        return self._state(physical_id)

    def delete(self, physical_id: str) -> Pending | None:  # noqa: ARG002
        """Delete nothing."""
        return None

    def _state(self, physical_id: str) -> State:
        return State(physical_id, reason=f"{self._name} is not offered, so nothing was made (--ignore-unknown)")

"""AWS::CloudFormation::WaitConditionHandle: a placeholder, as templates use it."""

from __future__ import annotations

from pipeline.stacks.provider import Pending, Properties, StackContext, State

TYPE = "AWS::CloudFormation::WaitConditionHandle"


class WaitConditionHandleProperties(Properties):
    """A handle has no properties."""


class WaitConditionHandle:
    """Makes nothing. Its `Ref` is a name of its own, where AWS's is the URL for signals."""

    properties = WaitConditionHandleProperties
    replaces = frozenset[str]()

    def __init__(self, context: StackContext) -> None:
        pass

    def create(self, token: str, properties: WaitConditionHandleProperties) -> State:  # noqa: ARG002
        """Make nothing."""
        return self._state(token)

    def find(self, token: str) -> str | None:
        """Return the token: there is nothing to find or to lose."""
        return token

    def read(self, physical_id: str) -> State | None:
        """Return the handle."""
        return self._state(physical_id)

    def update(
        self,
        physical_id: str,
        before: WaitConditionHandleProperties,  # noqa: ARG002
        after: WaitConditionHandleProperties,  # noqa: ARG002
    ) -> State:
        """Change nothing."""
        return self._state(physical_id)

    def delete(self, physical_id: str) -> Pending | None:  # noqa: ARG002
        """Delete nothing."""
        return None

    def _state(self, physical_id: str) -> State:
        return State(physical_id, properties={}, reason="a placeholder: it takes no signals")

"""AWS::SSM::Parameter: parameters that templates, containers and clients of SSM's API read."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field

from pipeline.base.errors import ConfigError
from pipeline.parameter_store.parameter import SECURE, StoredParameter, Version
from pipeline.parameter_store.rules import check_name, check_value
from pipeline.parameter_store.store import ParameterStore
from pipeline.stacks.error import StackError
from pipeline.stacks.provider import Properties, StackContext, State

TYPE = "AWS::SSM::Parameter"
_UNCHECKED = "without effect: AllowedPattern"


class SsmParameterProperties(Properties):
    """The properties of a parameter. As in CloudFormation, it cannot be a SecureString."""

    name: str | None = None
    type: Literal["String", "StringList"]
    value: str
    description: str = ""
    tier: Literal["Standard", "Advanced", "Intelligent-Tiering"] = "Standard"
    data_type: Literal["text"] = "text"
    allowed_pattern: str | None = None
    tags: dict[str, str] = Field(default_factory=dict)


class SsmParameter:
    """Makes parameters. `Ref` is the name."""

    properties = SsmParameterProperties
    replaces = frozenset({"Name"})

    def __init__(self, store: ParameterStore, context: StackContext) -> None:
        self._store = store
        self._context = context

    def create(self, token: str, properties: SsmParameterProperties) -> State:
        """Make a parameter. Raises `ConfigError` if its name is taken."""
        name = properties.name or token
        check_name(name)

        def make(known: StoredParameter | None) -> StoredParameter:
            if known is None:
                context = self._context
                return StoredParameter(
                    context.owner,
                    context.region,
                    name,
                    context.made_by,
                    (_version(1, properties),),
                    token,
                    properties.tags,
                )
            if known.token != token:
                raise ConfigError(f"The parameter {name} already exists: {known.made_by} has made it")
            return known

        self._store.change(self._context.owner, name, make)
        return _state(name, properties)

    def find(self, token: str) -> str | None:
        """Find a parameter by its token."""
        found = self._store.of_token(self._context.owner, token)
        return found.name if found else None

    def read(self, physical_id: str) -> State | None:
        """Return the parameter."""
        found = self._store.find(self._context.owner, physical_id)
        if found is None:
            return None
        latest = found.latest
        properties: dict[str, Any] = {
            "Name": found.name,
            "Type": latest.type,
            "Value": latest.value,
            "Tier": latest.tier,
        }
        properties |= {"Description": latest.description, "DataType": "text", "Tags": dict(found.tags)}
        return State(found.name, {"Type": latest.type, "Value": latest.value}, properties)

    def update(
        self,
        physical_id: str,
        before: SsmParameterProperties,  # noqa: ARG002
        after: SsmParameterProperties,
    ) -> State:
        """Make a new version, unless the latest one is the same."""

        def change(known: StoredParameter | None) -> StoredParameter:
            if known is None:
                raise ConfigError(f"The parameter {physical_id} does not exist")
            latest = known.latest
            wanted = replace(_version(latest.number, after), changed=latest.changed)
            if wanted != latest:
                known = known.with_version(_version(latest.number + 1, after))
            return replace(known, tags=after.tags)

        self._store.change(self._context.owner, physical_id, change)
        return _state(physical_id, after)

    def delete(self, physical_id: str) -> None:
        """Delete the parameter."""
        self._store.change(self._context.owner, physical_id, lambda _: None)


def parameter_value(store: ParameterStore, owner: str, selector: str) -> str:
    """Return the value for a template. Raises `KeyError` if there is none, and `StackError` for a secret one."""
    found = store.version(owner, selector)
    if found.type == SECURE:
        raise StackError(
            f"Parameters [{selector}] referenced by template have types not supported by CloudFormation.",
            hint="a SecureString cannot be used in a template; pass the value as a parameter with NoEcho",
        )
    return found.value


def _version(number: int, properties: SsmParameterProperties) -> Version:
    tier = properties.tier
    if tier == "Intelligent-Tiering":
        tier = "Standard"
    check_value(properties.value, tier)
    now = datetime.now(UTC)
    return Version(number, properties.type, properties.value, now, properties.description, tier)


def _state(name: str, properties: SsmParameterProperties) -> State:
    reason = _UNCHECKED if properties.allowed_pattern else ""
    return State(
        name,
        {"Type": properties.type, "Value": properties.value},
        properties.model_dump(mode="json", by_alias=True, exclude_unset=True),
        reason,
    )

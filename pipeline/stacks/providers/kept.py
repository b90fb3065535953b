"""Resources that templates declare and that do nothing on one machine. They are kept, and their events say so."""

from __future__ import annotations

import hashlib
import uuid
from base64 import b32encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import create_model

from pipeline.base.errors import ConfigError
from pipeline.stacks.provider import Pending, StackContext, State, short_name
from pipeline.stacks.providers.kept_store import KeptResource, KeptStore
from pipeline.stacks.resource_types import AnyProperties

Text = str | tuple[str, ...]


@dataclass(frozen=True)
class KeptType:
    """A type whose resources are kept.

    `ref` and `attributes` are texts with fields in braces: `name` is the value of the property `name_property`, or else
    made from the token; `hex`, `upper` and `uuid` are unique to the resource; `region` and `account` are the stack's;
    the others are properties, with `defaults`. With `shared`, two resources may have the same `ref`.
    """

    reason: str
    ref: str = "{name}"
    attributes: Mapping[str, Text] = field(default_factory=dict)
    name_property: str = ""
    required: tuple[str, ...] = ()
    replaces: frozenset[str] = frozenset()
    defaults: Mapping[str, str] = field(default_factory=dict)
    length: int = 128
    shared: bool = False


class Kept:
    """Keeps the resources of one type for a stack."""

    def __init__(self, type_name: str, kept_type: KeptType, store: KeptStore, context: StackContext) -> None:
        required: dict[str, Any] = dict.fromkeys(kept_type.required, (Any, ...))
        self.properties: type[AnyProperties] = create_model("KeptProperties", __base__=AnyProperties, **required)
        self.replaces = kept_type.replaces
        self.type_name = type_name
        self._type = kept_type
        self.store = store
        self.context = context

    def create(self, token: str, properties: AnyProperties) -> State | Pending:
        """Keep a resource."""
        values = properties.model_dump(mode="json", exclude_unset=True)
        found = self._found(token)
        while found is None:
            resource_id = self._id(token, values)
            known = self.store.all(self.context.owner, self.type_name)
            if self._type.shared:
                resource_id = _free_id(resource_id, {each.id for each in known})
            made = KeptResource(token, self.type_name, self.context.owner, self.context.made_by, resource_id, values)
            kept = self.store.add(made)
            if kept.token == token:
                found = kept
            elif not self._type.shared:
                raise ConfigError(f"{resource_id} already exists: {kept.made_by} has made it")
        return self._state(found)

    def find(self, token: str) -> str | None:
        """Find what was kept."""
        found = self._found(token)
        return found.id if found else None

    def read(self, physical_id: str) -> State | None:
        """Return what is kept."""
        found = self.store.find(self.context.owner, self.type_name, physical_id)
        return self._state(found) if found else None

    def update(self, physical_id: str, before: AnyProperties, after: AnyProperties) -> State:  # noqa: ARG002
        """Keep other properties."""
        found = self.store.find(self.context.owner, self.type_name, physical_id)
        if found is None:
            raise ConfigError(f"{physical_id} does not exist")
        changed = replace(found, properties=after.model_dump(mode="json", exclude_unset=True))
        self.store.put(changed)
        return self._state(changed)

    def delete(self, physical_id: str) -> Pending | None:
        """Delete what was kept."""
        self.store.delete(self.context.owner, self.type_name, physical_id)
        return None

    def _id(self, token: str, properties: Mapping[str, Any]) -> str:
        return self._format(self._type.ref, token, properties)

    def _found(self, token: str) -> KeptResource | None:
        known = self.store.all(self.context.owner, self.type_name)
        return next((each for each in known if each.token == token), None)

    def _state(self, resource: KeptResource) -> State:
        values = {"ref": resource.id, **resource.properties}
        attributes = {
            name: self._format(text, resource.token, values)
            if isinstance(text, str)
            else [self._format(each, resource.token, values) for each in text]
            for name, text in self._type.attributes.items()
        }
        return State(resource.id, attributes, resource.properties, self._type.reason)

    def _format(self, text: str, token: str, properties: Mapping[str, Any]) -> str:
        digest = hashlib.sha256(token.encode())
        values = {**self._type.defaults, **properties}
        made = {
            "name": values.get(self._type.name_property) or short_name(token, self._type.length),
            "hex": digest.hexdigest()[:17],
            "upper": b32encode(digest.digest()).decode()[:17],
            "uuid": uuid.UUID(bytes=digest.digest()[:16], version=4),
            "region": self.context.region,
            "account": self.context.account,
        }
        return text.format_map({**values, **made, "lower": str(made["name"]).lower()})


def _free_id(resource_id: str, taken: set[str]) -> str:
    """Return an id that is not taken. A final dot changes nothing in the name of a host."""
    while resource_id in taken:
        resource_id += "."
    return resource_id

"""The whole registry as JSON, in versions 1 and 2."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from pydantic import Field

from pipeline import __version__
from pipeline.balancer.key_set import KeySet
from pipeline.balancer.registry import VERSION, Registry
from pipeline.balancer.registry_change import RegisteredTargets
from pipeline.balancer.registry_migration import from_version_1
from pipeline.balancer.resources import Resources
from pipeline.balancer.targets import Registration

# Kinds that earlier versions do not know. They read the file again after the last resource of these is gone.
_ADDED = ("endpoint_services", "endpoints")
_INDENTED_VERSION = re.compile(rb'^ "version": ?\d', re.MULTILINE)


class _Snapshot(Resources):
    """The registry as it is stored. Files that were written before targets were joined have each one by itself."""

    version: Literal[2] = VERSION
    written_by: str = ""
    targets: dict[str, tuple[RegisteredTargets | Registration, ...]] = Field({})
    key_sets: dict[str, KeySet] = Field({})

    def registry(self) -> Registry:
        given = {name: getattr(self, name) for name in self.model_fields_set}
        targets = {id_: tuple(one for part in parts for one in _spread(part)) for id_, parts in self.targets.items()}
        return Registry.model_construct(**{**given, "targets": targets})


def _spread(part: RegisteredTargets | Registration) -> tuple[Registration, ...]:
    return (part,) if isinstance(part, Registration) else tuple(part.registrations())


def dump(registry: Registry) -> str:
    """Return the text of a registry in the current version. Its last line is `}`, and no other line is."""
    given: dict[str, Any] = {name: getattr(registry, name) for name in registry.model_fields_set}
    given = {name: value for name, value in given.items() if value or name not in _ADDED}
    if "targets" in given:
        given["targets"] = {id_: RegisteredTargets.joined(known) for id_, known in registry.targets.items()}
    snapshot = _Snapshot.model_construct(**{**given, "version": VERSION, "written_by": __version__})
    return f"{snapshot.model_dump_json(indent=1, exclude_unset=True)}\n"


def load(data: bytes) -> Registry:
    """Return the registry of either version.

    Raises `ValidationError` or `UnicodeDecodeError` for other data, and `ConfigError` for clashes in version 1.
    """
    return from_version_1(data.decode()) if is_version_1(data) else _Snapshot.model_validate_json(data).registry()


def is_version_1(data: bytes) -> bool:
    """Return whether the data is of version 1, as an empty object is too."""
    # Parsing costs more than reading the registry does.
    if _INDENTED_VERSION.search(data):
        return False
    try:
        return "version" not in json.loads(data)
    except (ValueError, TypeError):
        # The model's validation reports the error.
        return False


def writer_of(data: bytes) -> str | None:
    """Return the version of Penstock that wrote the data, empty if it does not say so, or None if it is damaged."""
    try:
        return str(json.loads(data).get("written_by", ""))
    except (ValueError, AttributeError):
        return None

"""The record of an accessory: what should run, and a change in progress."""

from __future__ import annotations

import hashlib
import json
import secrets as randomness
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self

from pipeline.balancer.model import Model
from pipeline.config.accessory import Accessory
from pipeline.config.secrets import REFERENCE, Secrets
from pipeline.store.accessories import AccessoryRow

_DIGEST = 12


class WantedState(StrEnum):
    """What a user or a deployment wants of an accessory."""

    RUNNING = "running"
    STOPPED = "stopped"
    REMOVED = "removed"


class Version(Model):
    """What one container of an accessory is made from. Secrets are in it by name only.

    `id` is part of the container's name, and no other version has it. `image_id` is the image that `settings.image`
    was when the version was made. `secrets` is a digest of the values of its secrets.
    """

    id: str
    image_id: str
    settings: Accessory
    secrets: str

    @classmethod
    def of(cls, settings: Accessory, image_id: str, secrets: Secrets) -> Self:
        """Return a new version of an accessory. Raises `ConfigError` for a missing secret."""
        made_from = settings.model_copy(update={"backup": None, "restore": None})
        return cls(
            id=randomness.token_hex(3), image_id=image_id, settings=made_from, secrets=secrets_digest(settings, secrets)
        )


def secrets_digest(settings: Accessory, secrets: Secrets) -> str:
    """Return a digest of the values of an accessory's secrets, empty without any. 48 bits reveal nothing of them.

    Raises `ConfigError` for a missing secret.
    """
    used = {name: value for name, value in settings.environment.items() if REFERENCE.search(value)}
    if not used:
        return ""
    resolved = sorted(secrets.resolve_all(used).items())
    return hashlib.sha256(json.dumps(resolved).encode()).hexdigest()[:_DIGEST]


@dataclass(frozen=True)
class Record:
    """The state of an accessory. `current` has been healthy. `next` is not None while it is to take its place."""

    name: str
    wanted: WantedState
    current: Version | None = None
    next: Version | None = None

    @classmethod
    def from_row(cls, row: AccessoryRow) -> Self:
        """Return the record in a row."""
        current, following = (Version.model_validate_json(each) if each else None for each in (row.current, row.next))
        return cls(row.name, WantedState(row.wanted), current, following)

    def as_row(self) -> AccessoryRow:
        """Return the row to store."""
        return AccessoryRow(self.name, self.wanted, _stored(self.current), _stored(self.next))

    def starting(self, version: Version) -> Record:
        """Return the record of a start or an upgrade that begins."""
        return replace(self, wanted=WantedState.RUNNING, next=version)

    def committed(self) -> Record:
        """Return the record after `next` has become healthy."""
        return replace(self, current=self.next, next=None)

    def reverted(self) -> Record:
        """Return the record after `next` has failed: its container goes, and that of `current` runs again."""
        return replace(self, next=None)

    def with_wanted(self, wanted: WantedState) -> Record:
        """Return the record with another wanted state."""
        return replace(self, wanted=wanted)


def _stored(version: Version | None) -> str | None:
    if version is None:
        return None
    settings: dict[str, Any] = version.settings.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return json.dumps({**version.model_dump(mode="json", exclude={"settings"}), "settings": settings})

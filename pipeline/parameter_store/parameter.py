"""A parameter with its versions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from pipeline.aws.service import ACCOUNT

SECURE = "SecureString"
MAX_VERSIONS = 100


@dataclass(frozen=True)
class Version:
    """One value of a parameter. `type` is `String`, `StringList` or `SecureString`, which has a `key_id`."""

    number: int
    type: str
    value: str
    changed: datetime
    description: str = ""
    tier: str = "Standard"
    key_id: str | None = None

    def __repr__(self) -> str:
        return f"Version(number={self.number}, type={self.type!r})"


@dataclass(frozen=True)
class StoredParameter:
    """A parameter of an owner. `versions` has the newest last, at most `MAX_VERSIONS`.

    `region` is that in which it was made, and only a part of its ARN. `made_by` is `api`, or `stack/NAME` together with
    the token of the resource.
    """

    owner: str
    region: str
    name: str
    made_by: str
    versions: tuple[Version, ...]
    token: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def latest(self) -> Version:
        """The newest version."""
        return self.versions[-1]

    @property
    def arn(self) -> str:
        """The ARN."""
        return f"arn:aws:ssm:{self.region}:{ACCOUNT}:parameter/{self.name.removeprefix('/')}"

    def version(self, number: int) -> Version | None:
        """Return a version by its number, or None."""
        return next((each for each in self.versions if each.number == number), None)

    def with_version(self, version: Version) -> StoredParameter:
        """Return the parameter with a newer version. The oldest are forgotten."""
        return replace(self, versions=(*self.versions, version)[-MAX_VERSIONS:])


def split_selector(text: str) -> tuple[str, int | None]:
    """Split `NAME:VERSION`. Without a version, that is None. Raises `ValueError` for one that is no number."""
    name, colon, selector = text.partition(":")
    if colon and not re.fullmatch("[0-9]{1,18}", selector):
        raise ValueError(f"{selector} is not the number of a version")
    return name, int(selector) if colon else None

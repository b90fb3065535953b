"""Access keys of the AWS APIs. Each has an owner, who is the owner of what its calls make."""

from __future__ import annotations

import json
import re
import secrets
import string
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline.base.errors import ConfigError, StoreFault
from pipeline.base.files import make_folder, write_atomically
from pipeline.base.lock import short_lock

DEFAULT_OWNER = "aws"
_VERSION = 1
# That of `Name` in base/schema.py, whose import takes longer than this command.
_OWNER = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?")
_ID_LETTERS = string.ascii_uppercase + "234567"
_SECRET_LETTERS = string.ascii_letters + string.digits


@dataclass(frozen=True)
class AccessKey:
    """An access key. `secret` is not part of its representation."""

    id: str
    secret: str
    owner: str
    created: datetime

    def __repr__(self) -> str:
        return f"AccessKey(id={self.id!r}, owner={self.owner!r})"


class AccessKeys:
    """The access keys of a home, in a file with mode 0600. Safe to use from many threads and processes."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "keys.json"
        self._lock = folder / "keys.lock"

    def find(self, key_id: str) -> AccessKey | None:
        """Return the key with an id. Raises `StoreFault` if the file cannot be read."""
        return next((key for key in self.all() if key.id == key_id), None)

    def all(self) -> tuple[AccessKey, ...]:
        """Return all keys, oldest first. Raises `StoreFault` if the file cannot be read."""
        try:
            data = json.loads(self._file.read_text())
        except FileNotFoundError:
            return ()
        except (OSError, ValueError) as error:
            raise StoreFault(f"cannot read {self._file}: {error}") from error
        if data.get("version") != _VERSION:
            raise StoreFault(f"{self._file} was written by another version of Penstock")
        return tuple(AccessKey(**{**key, "created": datetime.fromisoformat(key["created"])}) for key in data["keys"])

    def create(self, owner: str) -> AccessKey:
        """Make a key. It is on disk when this returns. Raises `ConfigError` for an invalid owner."""
        if not _OWNER.fullmatch(owner):
            raise ConfigError(
                f"{owner!r} is not a valid owner",
                hint="use up to 32 letters, digits and -, such as the name of a pipeline",
            )
        key_id = "AKIA" + "".join(secrets.choice(_ID_LETTERS) for _ in range(16))
        secret = "".join(secrets.choice(_SECRET_LETTERS) for _ in range(40))
        key = AccessKey(key_id, secret, owner, datetime.now(UTC).replace(microsecond=0))
        self._change(lambda keys: (*keys, key))
        return key

    def delete(self, key_id: str) -> None:
        """Delete a key. The endpoint refuses it from then on. Raises `ConfigError` if it is unknown."""

        def without(keys: tuple[AccessKey, ...]) -> tuple[AccessKey, ...]:
            if key_id not in {key.id for key in keys}:
                raise ConfigError(f"there is no access key {key_id}", hint="list them with `pipeline aws keys list`")
            return tuple(key for key in keys if key.id != key_id)

        self._change(without)

    def _change(self, change: Callable[[tuple[AccessKey, ...]], tuple[AccessKey, ...]]) -> None:
        try:
            make_folder(self._file.parent)
            with short_lock(self._lock):
                keys = [{**asdict(key), "created": key.created.isoformat()} for key in change(self.all())]
                write_atomically(self._file, json.dumps({"version": _VERSION, "keys": keys}, indent=1))
        except OSError as error:
            raise StoreFault(f"cannot write {self._file}: {error.strerror}") from error

"""The backups of one accessory: a file for each, with another file that says when it is complete."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from pipeline.balancer.model import Model
from pipeline.base.errors import ConfigError, StoreFault
from pipeline.base.files import make_folder, sync_names, write_atomically
from pipeline.base.suggestion import did_you_mean

_DATA, _FACTS, _DRAFT = ".backup", ".json", ".draft"
_CHUNK = 2**20


class Backup(Model):
    """A complete backup. `size` is in bytes, `sha256` of its content. `image` is the one that wrote it."""

    name: str
    accessory: str
    image: str
    created_at: datetime
    size: int
    sha256: str


class Draft:
    """A backup that is being written. `size` counts the bytes so far."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Add content. Raises `OSError`."""
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    def sync(self) -> None:
        """Write the content to disk. Raises `OSError`."""
        self._file.flush()
        os.fsync(self._file.fileno())

    @property
    def sha256(self) -> str:
        """The digest of the content so far."""
        return self._hash.hexdigest()


class BackupFiles:
    """The folder with the backups of one accessory. Only its owner has access.

    A backup has its name once it is complete and on disk. The caller holds the lock of the accessory's data, except
    for `all` and `find`. Raises `StoreFault`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> list[Backup]:
        """Return the complete backups, oldest first."""
        found = []
        for facts in sorted(self._folder.glob(f"*{_FACTS}")):
            if not facts.with_suffix(_DATA).exists():
                continue
            try:
                found.append(Backup.model_validate_json(facts.read_bytes()))
            except (OSError, ValidationError):
                # Removed just now, or changed by another program.
                continue
        return sorted(found, key=lambda each: (each.created_at, each.name))

    def find(self, name: str | None = None) -> Backup:
        """Return a backup by its name, by default the latest. Raises `ConfigError` if there is none."""
        found = self.all()
        named = found[-1:] if name is None else [each for each in found if each.name == name]
        if named:
            return named[0]
        if not found:
            raise ConfigError(f"there is no backup in {self._folder}", hint="make one with `pipeline accessory backup`")
        raise ConfigError(f"there is no backup {name}", hint=did_you_mean(str(name), [each.name for each in found]))

    @contextmanager
    def writing(self) -> Iterator[Draft]:
        """Yield a draft. It is removed on leaving the block, unless `complete` has named it."""
        self._clean()
        path = self._folder / _DRAFT
        try:
            make_folder(self._folder)
            self._folder.chmod(0o700)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                yield Draft(file)
        except OSError as error:
            raise StoreFault(f"cannot write a backup to {self._folder}: {error.strerror}") from error
        finally:
            path.unlink(missing_ok=True)

    def complete(self, draft: Draft, accessory: str, image: str, now: datetime) -> Backup:
        """Give the draft the name of a backup. It is on disk when this returns."""
        backup = Backup(
            name=self._free_name(now),
            accessory=accessory,
            image=image,
            created_at=now,
            size=draft.size,
            sha256=draft.sha256,
        )
        draft.sync()
        # A kill in between leaves facts without data, which no reader counts.
        write_atomically(self._path(backup.name, _FACTS), backup.model_dump_json())
        (self._folder / _DRAFT).replace(self._path(backup.name, _DATA))
        sync_names(self._folder)
        return backup

    @contextmanager
    def reading(self, backup: Backup) -> Iterator[IO[bytes]]:
        """Yield the content of a backup, which was compared with its size and digest before."""
        path = self._path(backup.name, _DATA)
        try:
            with path.open("rb") as file:
                digest = hashlib.sha256()
                while data := file.read(_CHUNK):
                    digest.update(data)
                if (file.tell(), digest.hexdigest()) != (backup.size, backup.sha256):
                    raise StoreFault(
                        f"{path} is damaged: it differs from what was written", hint="restore another backup"
                    )
                file.seek(0)
                yield file
        except OSError as error:
            raise StoreFault(f"cannot read {path}: {error.strerror}") from error

    def prune(self, keep: int) -> list[str]:
        """Delete all but the latest `keep` backups, and return their names."""
        old = self.all()[:-keep]
        for backup in old:
            self._path(backup.name, _DATA).unlink(missing_ok=True)
            self._path(backup.name, _FACTS).unlink(missing_ok=True)
        return [backup.name for backup in old]

    def _free_name(self, now: datetime) -> str:
        """Return the time in UTC, with a number if there is a backup of the same second already."""
        base = f"{now:%Y%m%dT%H%M%SZ}"
        taken = {path.stem for path in self._folder.glob(f"{base}*")}
        return next(name for n in range(len(taken) + 1) if (name := f"{base}-{n + 1}" if n else base) not in taken)

    def _clean(self) -> None:
        """Remove what killed processes have left."""
        for facts in self._folder.glob(f"*{_FACTS}"):
            if not facts.with_suffix(_DATA).exists():
                facts.unlink(missing_ok=True)
        for draft in self._folder.glob(".*"):
            draft.unlink(missing_ok=True)

    def _path(self, name: str, suffix: str) -> Path:
        return self._folder / f"{name}{suffix}"

"""The registry on disk, cached while the file does not change."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from pipeline import __version__
from pipeline.balancer.registry import VERSION, Registry
from pipeline.balancer.registry_migration import from_version_1
from pipeline.base.errors import BalancerFault, ConfigError
from pipeline.base.reserve import write_with_reserve

_RESTORE = (
    "restore a good copy; or write {} into it and run `pipeline recover`, and each pipeline is down until its next run"
)
# A file's inode, time and size. Every write creates a new file.
Stamp = tuple[int, int, int]


class RegistryFile:
    """A JSON file that is replaced as a whole. Reads versions 1 and 2, and writes version 2.

    A second name of the file stays when the first one is removed, and is read then. `in_use` says whether a data plane
    runs, so that there must be a registry.
    """

    def __init__(self, path: Path, in_use: Callable[[], bool] = lambda: False) -> None:
        self._path = path
        self._second = path.with_name(f"{path.name}.kept")
        self._in_use = in_use
        self._known: tuple[Stamp | None, Registry] | None = None
        self._is_outdated = False

    @property
    def is_outdated(self) -> bool:
        """True if the file has the format of version 1, until `migrate` is called."""
        self.read()
        return self._is_outdated

    @property
    def is_settled(self) -> bool:
        """True if the file exists in the current format: neither `restore` nor `migrate` would write it."""
        return not self.is_outdated and self._stamp() is not None

    def read(self) -> Registry:
        """Return the registry, which is empty if there is no file.

        Raises `BalancerFault` for a damaged file, and for a missing one while a data plane runs.
        """
        known, stamp = self._known, self._stamp()
        if known is None or known[0] != stamp or stamp is None:
            known = self._known = stamp, self._parsed()
        return known[1]

    def write(self, registry: Registry) -> None:
        """Store `registry`. Writes nothing if it has not changed."""
        if registry != self.read() or (self._stamp() is None and not registry.is_empty):
            self._replace(registry)

    def restore(self) -> None:
        """Write the file again if it was removed and its second name is left."""
        if self._stamp() is None:
            self.write(self.read())

    def migrate(self) -> None:
        """Write an outdated file in the current format."""
        if self.is_outdated:
            self._replace(self.read())

    def _replace(self, registry: Registry) -> None:
        registry = registry.model_copy(update={"version": VERSION, "written_by": __version__})
        try:
            write_with_reserve(self._path, registry.model_dump_json(indent=1, exclude_unset=True))
        except OSError as error:
            full = " (the disk is full)" if error.errno == errno.ENOSPC else ""
            raise BalancerFault(f"cannot write {self._path}: {error.strerror}{full}") from error
        self._keep()
        self._known = self._stamp(), registry
        self._is_outdated = False

    def _keep(self) -> None:
        """Give the file its second name. Some file systems have no hard links."""
        draft = self._second.with_name(f".{self._second.name}.{os.getpid()}")
        with suppress(OSError):
            draft.unlink(missing_ok=True)
            draft.hardlink_to(self._path)
            draft.replace(self._second)

    def _stamp(self) -> Stamp | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _parsed(self) -> Registry:
        try:
            text = self._read_text()
            self._is_outdated = _is_version_1(text)
            return from_version_1(text) if self._is_outdated else Registry.model_validate_json(text)
        except FileNotFoundError:
            self._is_outdated = False
            if self._in_use():
                raise BalancerFault(f"{self._path} is missing, but HAProxy runs", hint=_RESTORE) from None
            return Registry()
        except (UnicodeDecodeError, ConfigError) as error:
            raise _damaged(self._path, error) from error
        except ValidationError as error:
            raise _other_version(self._path, text, error) or _damaged(self._path, error) from error

    def _read_text(self) -> str:
        try:
            return self._path.read_text()
        except FileNotFoundError:
            return self._second.read_text()


def _is_version_1(text: str) -> bool:
    try:
        return "version" not in json.loads(text)
    except (ValueError, TypeError):
        # The model's validation reports the error.
        return False


def _damaged(path: Path, error: Exception) -> BalancerFault:
    return BalancerFault(
        f"{path} is damaged: {error}",
        hint=_RESTORE,
    )


def _other_version(path: Path, text: str, error: ValidationError) -> BalancerFault | None:
    """Return the fault for an intact file that another version wrote, or None if it is not one."""
    try:
        writer = json.loads(text).get("written_by", "")
    except (ValueError, AttributeError):
        return None
    if writer == __version__:
        return None
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return BalancerFault(
        f"{path} was written by {f'Penstock {writer}' if writer else 'an early version of Penstock'}, "
        f"and this is {__version__}, which does not understand it: {place}: {first['msg']}",
        hint=f"use the version that wrote it. Or {_RESTORE}",
    )

"""The registry on disk, cached while the file does not change."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from pipeline import __version__
from pipeline.balancer.registry import VERSION, Registry
from pipeline.balancer.registry_change import RegistryChange
from pipeline.balancer.registry_journal import Damage, Extent
from pipeline.balancer.registry_snapshot import dump, is_version_1, load, writer_of
from pipeline.base.errors import BalancerFault, ConfigError
from pipeline.base.files import FileStamp, append, file_stamp
from pipeline.base.reserve import has_reserve, write_with_reserve

_RESTORE = (
    "restore a good copy; or write {} into it and run `pipeline recover`, and each pipeline is down until its next run"
)
# The changes after which the file is written as a whole again have at least this size, in bytes.
_MIN_CHANGES = 64 * 1024
# The file as a whole may have this many times the size of its snapshot and its changes, because it is indented.
_WHOLE = 2


class _Content(NamedTuple):
    """What was read: the file's stamp, how much of it counts, and its registry."""

    stamp: FileStamp | None
    extent: Extent
    registry: Registry
    is_outdated: bool = False


class RegistryFile:
    """A file that holds the registry as a whole, and then the changes since. See `registry_journal`.

    A change is appended. If the changes become long, the file is replaced as a whole. Either is on disk when `write`
    returns, and an error leaves the former state. One process at a time may write. Readers need no lock, because a line
    without its end does not count yet. Reads versions 1 and 2, and writes version 2.

    A second name of the file stays when the first one is removed, and is read then. `in_use` says whether a data plane
    runs, so that there must be a registry.
    """

    def __init__(self, path: Path, in_use: Callable[[], bool] = lambda: False) -> None:
        self._path = path
        self._second = path.with_name(f"{path.name}.kept")
        self._in_use = in_use
        self._known: _Content | None = None

    @property
    def is_outdated(self) -> bool:
        """True if the file has the format of version 1, until `migrate` is called."""
        return self._content().is_outdated

    @property
    def is_settled(self) -> bool:
        """True if the file exists in the current format: neither `restore` nor `migrate` would write it."""
        return not self.is_outdated and file_stamp(self._path) is not None

    def read(self) -> Registry:
        """Return the registry, which is empty if there is no file.

        Raises `BalancerFault` for one that is damaged or cannot be read, and for a missing one while a data plane runs.
        """
        return self._content().registry

    def write(self, registry: Registry) -> None:
        """Store `registry`. Writes nothing if it has not changed."""
        known = self._content()
        is_stored = registry == known.registry and (known.stamp is not None or registry.is_empty)
        if not is_stored and not self._append(registry, known):
            self._replace(registry)

    def restore(self) -> None:
        """Write the file again if it was removed and its second name is left."""
        if file_stamp(self._path) is None:
            self.write(self.read())

    def migrate(self) -> None:
        """Write an outdated file in the current format."""
        if self.is_outdated:
            self._replace(self.read())

    def _append(self, registry: Registry, known: _Content) -> bool:
        """Append what has changed. Return False if the file is to be replaced instead."""
        # The head of the file names the version that wrote it, and another one might not understand the line.
        is_ours = known.stamp is not None and not known.is_outdated and known.registry.written_by == __version__
        change = RegistryChange.between(known.registry, registry) if is_ours and known.extent.snapshot else None
        if change is None:
            return False
        line = known.extent.line(change.model_dump_json(exclude_unset=True))
        extent = known.extent.after(line)
        is_long = extent.size - extent.snapshot > max(extent.snapshot, _MIN_CHANGES)
        if is_long or not self._is_kept() or not has_reserve(self._path, _WHOLE * extent.size):
            return False
        try:
            append(self._path, line, known.extent.size)
        except OSError:
            # There is space reserved for a whole file, and its error has the reason.
            return False
        self._known = _Content(file_stamp(self._path), extent, registry)
        return True

    def _replace(self, registry: Registry) -> None:
        text = dump(registry)
        try:
            write_with_reserve(self._path, text)
        except OSError as error:
            full = " (the disk is full)" if error.errno == errno.ENOSPC else ""
            raise BalancerFault(f"cannot write {self._path}: {error.strerror}{full}") from error
        self._keep()
        stored = registry.model_copy(update={"version": VERSION, "written_by": __version__})
        self._known = _Content(file_stamp(self._path), Extent.of_snapshot(self._path.read_bytes()), stored)

    def _is_kept(self) -> bool:
        """Return whether the second name is of this file, or cannot be given. It is given again if it is missing."""
        if not self._second.exists():
            self._keep()
        try:
            return self._second.samefile(self._path)
        except FileNotFoundError:
            return self._path.exists()

    def _keep(self) -> None:
        """Give the file its second name. Some file systems have no hard links."""
        draft = self._second.with_name(f".{self._second.name}.{os.getpid()}")
        with suppress(OSError):
            draft.unlink(missing_ok=True)
            draft.hardlink_to(self._path)
            draft.replace(self._second)

    def _content(self) -> _Content:
        known, stamp = self._known, file_stamp(self._path)
        if known is None or known.stamp != stamp or stamp is None:
            # The stamp is older than the data, so what is written meanwhile is read by the next call.
            known = self._known = self._read(stamp, known)
        return known

    def _read(self, stamp: FileStamp | None, known: _Content | None) -> _Content:
        """Read the file. Of a file that begins with what is known, only the changes since are parsed."""
        try:
            data = self._data()
        except FileNotFoundError:
            if self._in_use():
                raise BalancerFault(f"{self._path} is missing, but HAProxy runs", hint=_RESTORE) from None
            return _Content(None, Extent(0, 0, 0), Registry())
        except OSError as error:
            raise BalancerFault(f"cannot read {self._path}: {error.strerror}") from error
        try:
            if known is None or not known.extent.snapshot or not known.extent.begins(data):
                extent = Extent.of_snapshot(data)
                head = data[: extent.size]
                known = _Content(stamp, extent, load(head), is_version_1(head))
            extent, registry = known.extent, known.registry
            for line, extent in known.extent.changes(data):  # noqa: B007 - the last one counts
                registry = RegistryChange.model_validate_json(line).applied_to(registry)
            return _Content(stamp, extent, registry, known.is_outdated)
        except (UnicodeDecodeError, ConfigError, Damage) as error:
            raise _damaged(self._path, error) from error
        except ValidationError as error:
            raise _other_version(self._path, data, error) or _damaged(self._path, error) from error

    def _data(self) -> bytes:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return self._second.read_bytes()


def _damaged(path: Path, error: Exception) -> BalancerFault:
    return BalancerFault(
        f"{path} is damaged: {error}",
        hint=_RESTORE,
    )


def _other_version(path: Path, data: bytes, error: ValidationError) -> BalancerFault | None:
    """Return the fault for an intact file that another version wrote, or None if it is not one."""
    writer = writer_of(data[: Extent.of_snapshot(data).size])
    if writer in (None, __version__):
        return None
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return BalancerFault(
        f"{path} was written by {f'Penstock {writer}' if writer else 'an early version of Penstock'}, "
        f"and this is {__version__}, which does not understand it: {place}: {first['msg']}",
        hint=f"use the version that wrote it. Or {_RESTORE}",
    )

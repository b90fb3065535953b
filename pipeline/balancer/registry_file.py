"""The registry on disk. What has been read once is not read again while nobody has written."""

from __future__ import annotations

import errno
import json
from pathlib import Path

from pydantic import ValidationError

from pipeline import __version__
from pipeline.balancer.registry import Registry
from pipeline.base.errors import BalancerFault
from pipeline.base.files import write_atomically

# A file's inode, time and size: every write makes another file.
Stamp = tuple[int, int, int]


class RegistryFile:
    """One JSON file, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: tuple[Stamp | None, Registry] | None = None

    def read(self) -> Registry:
        """The registry; empty when there is no file. A damaged file is refused, never taken as empty."""
        known, stamp = self._known, self._stamp()
        if known is None or known[0] != stamp:
            known = self._known = stamp, self._parsed()
        return known[1]

    def write(self, registry: Registry) -> None:
        """Keep `registry`. What has not changed is not written."""
        if registry == self.read():
            return
        registry = registry.model_copy(update={"written_by": __version__})
        try:
            write_atomically(self._path, registry.model_dump_json(indent=1, exclude_unset=True))
        except OSError as error:
            full = " (the disk is full)" if error.errno == errno.ENOSPC else ""
            raise BalancerFault(f"cannot write {self._path}: {error.strerror}{full}") from error
        self._known = self._stamp(), registry

    def _stamp(self) -> Stamp | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _parsed(self) -> Registry:
        try:
            text = self._path.read_text()
            return Registry.model_validate_json(text)
        except FileNotFoundError:
            return Registry()
        except UnicodeDecodeError as error:
            raise _damaged(self._path, error) from error
        except ValidationError as error:
            raise _other_version(self._path, text, error) or _damaged(self._path, error) from error


def _damaged(path: Path, error: ValueError) -> BalancerFault:
    return BalancerFault(
        f"{path} is damaged: {error}",
        hint="put a good copy back; without one, move it away: each pipeline is then down until its next run",
    )


def _other_version(path: Path, text: str, error: ValidationError) -> BalancerFault | None:
    """The fault of a file that is whole, and has a form that is not ours; None where it is not that."""
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
        hint="go on with the version that wrote it; or move it away: each pipeline is then down until its next run",
    )

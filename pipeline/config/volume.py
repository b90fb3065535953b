"""Volumes of containers, in Docker's short form `SOURCE:TARGET:MODES`."""

from __future__ import annotations

import posixpath
import re
from typing import Annotated

from pydantic import AfterValidator

from pipeline.base.errors import FieldError

_VOLUME = re.compile(r"(/[^:]*|[A-Za-z0-9][A-Za-z0-9_.-]*):/[^:]*(?::([^:]*))?")
# Of each group, one mode is allowed.
_GROUPS = (
    {"ro", "rw"},
    {"z", "Z"},
    {"private", "rprivate", "shared", "rshared", "slave", "rslave"},
    {"nocopy"},
    {"consistent", "cached", "delegated"},
)
# That of a folder in Linux.
_MAX_NAME = 255
_PROPAGATION, _NO_COPY = _GROUPS[2], _GROUPS[3]


def _volume(value: str) -> str:
    match = _VOLUME.fullmatch(value)
    if match is None or "\0" in value:
        raise ValueError(
            f"{value!r} is not a valid volume; write /host/path:/container/path or name:/container/path:ro"
        )
    is_path = value.startswith("/")
    if not is_path and not 2 <= len(match[1]) <= _MAX_NAME:
        raise ValueError(f"{value!r} must have a volume name of 2 to {_MAX_NAME} characters")
    if mount_path(value) == "/":
        raise ValueError(f"{value!r} must have a path in the container other than /")
    modes = match[2].split(",") if match[2] is not None else []
    for mode in modes:
        group = next((group for group in _GROUPS if mode in group), None)
        if group is None:
            raise ValueError(f"{value!r} has the unknown mode {mode!r}; write ro, rw, z or Z, or several such as ro,Z")
        if sum(other in group for other in modes) > 1:
            raise ValueError(f"{value!r} must have one of the modes {', '.join(sorted(group))}")
    if any(mode in (_NO_COPY if is_path else _PROPAGATION) for mode in modes):
        raise ValueError(f"{value!r} has a mode of {'named volumes' if is_path else 'host paths'} only")
    return value


def _distinct(volumes: tuple[str, ...]) -> tuple[str, ...]:
    first: dict[str, str] = {}
    for index, volume in enumerate(volumes):
        target = mount_path(volume)
        if target in first:
            raise FieldError(index, f"{volume!r} has the same path in the container as {first[target]!r}")
        first[target] = volume
    return volumes


def mount_path(volume: str) -> str:
    """Return the path in the container as Docker compares it."""
    return posixpath.normpath("/" + volume.split(":")[1].lstrip("/"))


Volume = Annotated[str, AfterValidator(_volume)]
Volumes = Annotated[tuple[Volume, ...], AfterValidator(_distinct)]

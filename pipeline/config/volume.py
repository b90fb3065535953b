"""Volumes of containers, in Docker's short form `SOURCE:TARGET:MODES`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

_VOLUME = re.compile(r"(/[^:]*|[A-Za-z0-9][A-Za-z0-9_.-]*):/[^:]*(?::([^:]*))?")
# Of each group, one mode is allowed.
_GROUPS = (
    {"ro", "rw"},
    {"z", "Z"},
    {"private", "rprivate", "shared", "rshared", "slave", "rslave"},
    {"nocopy"},
    {"consistent", "cached", "delegated"},
)
_PROPAGATION, _NO_COPY = _GROUPS[2], _GROUPS[3]


def _volume(value: str) -> str:
    match = _VOLUME.fullmatch(value)
    if match is None:
        raise ValueError(
            f"{value!r} is not a valid volume; write /host/path:/container/path or name:/container/path:ro"
        )
    modes = match[2].split(",") if match[2] is not None else []
    for mode in modes:
        group = next((group for group in _GROUPS if mode in group), None)
        if group is None:
            raise ValueError(f"{value!r} has the unknown mode {mode!r}; write ro, rw, z or Z, or several such as ro,Z")
        if sum(other in group for other in modes) > 1:
            raise ValueError(f"{value!r} must have one of the modes {', '.join(sorted(group))}")
    is_path = value.startswith("/")
    if any(mode in (_NO_COPY if is_path else _PROPAGATION) for mode in modes):
        raise ValueError(f"{value!r} has a mode of {'named volumes' if is_path else 'host paths'} only")
    return value


Volume = Annotated[str, AfterValidator(_volume)]

"""Folders of a container in memory, in Compose's short form `/path:OPTIONS`."""

from __future__ import annotations

import posixpath
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from pipeline.base.errors import FieldError

_FLAGS = frozenset(
    {
        *("ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "sync", "async", "dirsync", "remount"),
        *("mand", "nomand", "atime", "noatime", "diratime", "nodiratime", "relatime", "norelatime", "strictatime"),
    }
)
# Of the options with a value: what the kernel takes.
_VALUES = {
    "size": (re.compile(r"\d+([kmgtKMGT]|%)?"), "64m or 50%"),
    "mode": (re.compile(r"0?[0-7]{3,4}"), "1777"),
    "uid": (re.compile(r"\d{1,10}"), "1000"),
    "gid": (re.compile(r"\d{1,10}"), "1000"),
    "nr_inodes": (re.compile(r"\d+[kmgKMG]?"), "10k"),
    "nr_blocks": (re.compile(r"\d+[kmgKMG]?"), "10k"),
}


def split_tmpfs(entry: str) -> tuple[str, str]:
    """Return the path and the mount options of an entry."""
    path, _, options = entry.partition(":")
    return path, options


def _as_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _tmpfs(value: str) -> str:
    path, options = split_tmpfs(value)
    if not path.startswith("/") or "\0" in value:
        raise ValueError(f"{value!r} is not a valid tmpfs; write /run or /run:size=64m,mode=1777")
    path = posixpath.normpath("/" + path.lstrip("/"))
    if path == "/":
        raise ValueError(f"{value!r} must have a path other than /")
    for option in options.split(",") if options else ():
        _check_option(value, option)
    return f"{path}:{options}" if options else path


def _check_option(entry: str, option: str) -> None:
    name, equals, value = option.partition("=")
    if name in _VALUES:
        pattern, example = _VALUES[name]
        if not pattern.fullmatch(value):
            raise ValueError(f"{entry!r} has an invalid {name}; write {name}={example}")
    elif name not in _FLAGS or equals:
        raise ValueError(f"{entry!r} has the unknown option {option!r}; write size, mode, uid, gid, noexec or ro")


def _distinct(entries: tuple[str, ...]) -> tuple[str, ...]:
    first: dict[str, str] = {}
    for index, entry in enumerate(entries):
        path = split_tmpfs(entry)[0]
        if path in first:
            raise FieldError(index, f"{entry!r} has the same path as {first[path]!r}")
        first[path] = entry
    return entries


Tmpfs = Annotated[
    tuple[Annotated[str, AfterValidator(_tmpfs)], ...],
    BeforeValidator(_as_list),
    AfterValidator(_distinct),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]

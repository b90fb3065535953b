"""`devices`: the devices of the machine that a container may use, in Compose's short form `/dev/net/tun`."""

from __future__ import annotations

import posixpath
from typing import Annotated

from pydantic import AfterValidator, Field

from pipeline.engine.container_options import DeviceMapping

_FOLDER = "/dev/"
_PERMISSIONS = "rwm"
_FORMS = "write /dev/net/tun or /dev/net/tun:/dev/net/tun:rw"


def device_mapping(entry: str) -> DeviceMapping:
    """Return what a valid entry means. Without a path in the container, it is that of the machine."""
    host, _, rest = entry.partition(":")
    container, _, permissions = rest.partition(":")
    return DeviceMapping(host, container or host, permissions or _PERMISSIONS)


def device_mistake(entries: tuple[str, ...]) -> str | None:
    """Return what is wrong with two entries that have one path in the container, or None."""
    paths: dict[str, str] = {}
    for entry in entries:
        path = device_mapping(entry).container
        if path in paths:
            return f"{paths[path]!r} and {entry!r} have the same path in the container; remove one of them"
        paths[path] = entry
    return None


def _device(value: str) -> str:
    parts = value.split(":")
    if "\0" in value or not 1 <= len(parts) <= 3 or not all(parts):
        raise ValueError(f"{value!r} is not a valid device; {_FORMS}")
    host, *rest = parts
    if len(rest) == 1 and not rest[0].startswith("/"):
        # Docker also takes /dev/net/tun:rw, but not in Compose's form of three parts.
        raise ValueError(
            f"{value!r} must have a path in the container before {rest[0]!r}; write {host}:{host}:{rest[0]}"
        )
    _check_host(value, host)
    for path in rest[:1]:
        if not path.startswith("/") or ".." in path.split("/") or posixpath.normpath(path) == "/":
            raise ValueError(f"{value!r} must have an absolute path in the container, without ..; {_FORMS}")
    for permissions in rest[1:]:
        if set(permissions) - set(_PERMISSIONS) or len(set(permissions)) != len(permissions):
            raise ValueError(
                f"{value!r} has the permissions {permissions!r}; write r, w and m at most once each, as in rwm"
            )
    return ":".join((posixpath.normpath(host), *map(posixpath.normpath, rest[:1]), *rest[1:]))


def _check_host(value: str, host: str) -> None:
    """Raise `ValueError` for a path that is outside /dev. A container could put a link to any device there."""
    if "=" in host and not host.startswith("/"):
        raise ValueError(f"{value!r} is a device of CDI, which is not supported; write a path below /dev, or use gpus")
    if not host.startswith(_FOLDER) or ".." in host.split("/") or not posixpath.normpath(host).startswith(_FOLDER):
        raise ValueError(f"{value!r} must have a path of the machine below /dev, without ..; {_FORMS}")


def _unique(entries: tuple[str, ...]) -> tuple[str, ...]:
    if mistake := device_mistake(entries):
        raise ValueError(mistake)
    return entries


Devices = Annotated[
    tuple[Annotated[str, AfterValidator(_device)], ...],
    AfterValidator(_unique),
    Field(
        description="Devices of the machine below /dev, as `/dev/net/tun` or `HOST:CONTAINER:PERMISSIONS`. "
        "Permissions: r, w and m (mknod), all by default."
    ),
]

"""Host names in a container's /etc/hosts, in Compose's forms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from pipeline.base.errors import FieldError
from pipeline.base.written import written

HOST_GATEWAY = "host-gateway"
"""Stands for the address of Docker's machine."""
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,253}[A-Za-z0-9_])?")
_EXAMPLE = "write db:10.0.0.5, v6=[2001:db8::5] or dev:host-gateway"


def _hosts(value: Any) -> Any:
    """Return `HOST:ADDRESS` of each entry, which Docker takes."""
    if isinstance(value, dict):
        return tuple(found for host, given in value.items() for found in _of_mapping(host, given))
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be a list or a mapping of hosts, got {written(value)}; {_EXAMPLE}")
    return tuple(_of_list(index, entry) for index, entry in enumerate(value))


def _of_mapping(host: str, given: Any) -> Iterator[str]:
    for address in given if isinstance(given, list | tuple) else (given,):
        yield _entry(host, host, address, f"{host}: {address}")


def _of_list(index: int, entry: Any) -> str:
    if not isinstance(entry, str):
        raise FieldError(index, f"{written(entry)} is not a valid host; {_EXAMPLE}")
    # An address may contain colons, and a name neither of both.
    separator = "=" if "=" in entry else ":"
    host, _, address = entry.partition(separator)
    return _entry(index, host, address, entry)


def _entry(place: str | int, host: str, address: Any, entry: str) -> str:
    if not _HOST.fullmatch(host) or not isinstance(address, str):
        raise FieldError(place, f"{entry!r} is not a valid host; {_EXAMPLE}")
    is_bracketed = address.startswith("[") and address.endswith("]")
    bare = address[1:-1] if is_bracketed else address
    if bare == HOST_GATEWAY and not is_bracketed:
        return f"{host}:{bare}"
    try:
        found = ip_address(bare)
    except ValueError:
        found = None
    if found is None or (is_bracketed and found.version == 4):
        raise FieldError(place, f"{entry!r} must have an IP address or {HOST_GATEWAY}, got {address!r}; {_EXAMPLE}")
    return f"{host}:{found}"


_ADDRESSES = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
ExtraHosts = Annotated[
    tuple[str, ...],
    BeforeValidator(_hosts),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": {"type": "string"}},
                {"type": "object", "additionalProperties": _ADDRESSES},
            ]
        }
    ),
]

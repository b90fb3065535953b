"""Published ports, in the short form of Compose: `[ADDRESS:]PORT:CONTAINER_PORT[/PROTOCOL]`."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator

from pipeline.base.errors import FieldError
from pipeline.engine.container import PublishedPort

# Compose publishes on all addresses. Docker's rules go before those of a firewall, so a database would be public.
_DEFAULT_ADDRESS = "127.0.0.1"
_PORT = re.compile(
    r"(?:(?:\[(?P<six>[^\]]*)\]|(?P<four>[^:\[\]]*)):)?(?P<port>[0-9]{1,5}):(?P<inner>[0-9]{1,5})(?:/(?P<kind>tcp|udp))?"
)
_MAX_PORT = 65535


def published_port(value: str) -> PublishedPort:
    """Return what a valid short form means. Raises `ValueError` for any other text."""
    match = _PORT.fullmatch(value)
    if match is None:
        raise ValueError(f"{value!r} is not a valid port; write 127.0.0.1:5432:5432 or 5432:5432, without ranges")
    address = match["six"] if match["six"] is not None else match["four"]
    try:
        found = ip_address(_DEFAULT_ADDRESS if address is None else address)
    except ValueError:
        raise ValueError(f"{value!r} must have an IP address of this machine, got {address!r}") from None
    port, inner = int(match["port"]), int(match["inner"])
    if not 1 <= port <= _MAX_PORT or not 1 <= inner <= _MAX_PORT:
        raise ValueError(f"{value!r} must have ports from 1 to {_MAX_PORT}")
    return PublishedPort(inner, str(found), port, match["kind"] or "tcp")


def _valid(value: str) -> str:
    published_port(value)
    return value


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    known: list[str] = []
    for index, value in enumerate(values):
        if other := next((each for each in known if collide(each, value)), None):
            raise FieldError(index, f"{value!r} has the same port of this machine as {other!r}")
        known.append(value)
    return values


def collide(one: str, other: str) -> bool:
    """Return whether two short forms publish the same port of this machine."""
    first, second = published_port(one), published_port(other)
    if (first.port, first.protocol) != (second.port, second.protocol):
        return False
    addresses = {ip_address(first.address), ip_address(second.address)}
    return len(addresses) == 1 or any(address.is_unspecified for address in addresses)


PublishedPorts = Annotated[tuple[Annotated[str, AfterValidator(_valid)], ...], AfterValidator(_distinct)]

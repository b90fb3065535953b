"""The zones that are declared to the daemon. Each is an address of this machine, which stands for a data centre."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from pipeline.base.errors import ConfigError

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
# A name as AWS gives it to its zones: a region and a letter.
_AWS_NAME = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]+([a-z])")


@dataclass(frozen=True)
class Zone:
    """A zone. The nodes of load balancers in it have `address`."""

    name: str
    address: str


DEFAULT_ZONES = (Zone("local-a", "127.0.0.1"), Zone("local-b", "127.0.0.2"))


def parse_zones(texts: Sequence[str]) -> tuple[Zone, ...]:
    """Return the zones of `NAME=ADDRESS` texts, or the default ones. Raises `ConfigError`."""
    zones = tuple(map(_parse, texts)) or DEFAULT_ZONES
    for field in ("name", "address"):
        values = [getattr(zone, field) for zone in zones]
        for value in values:
            if values.count(value) > 1:
                raise ConfigError(f"--zone: two zones have the {field} {value}", hint=f"give each zone its own {field}")
    return zones


def find_zone(zones: Sequence[Zone], name: str) -> Zone | None:
    """Return the zone with a name. A name such as us-east-1b is the second zone of all that are declared."""
    declared = next((zone for zone in zones if zone.name == name), None)
    if declared is not None:
        return declared
    letter = _AWS_NAME.fullmatch(name)
    index = ord(letter[2]) - ord("a") if letter else len(zones)
    return zones[index] if index < len(zones) else None


def _parse(text: str) -> Zone:
    name, _, address = text.partition("=")
    try:
        if not _NAME.fullmatch(name) or ip_address(address).is_unspecified:
            raise ValueError(text)
    except ValueError:
        raise ConfigError(
            f"--zone: {text} is not a zone", hint="use NAME=ADDRESS, such as --zone local-a=127.0.0.1"
        ) from None
    return Zone(name, str(ip_address(address)))

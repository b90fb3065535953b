"""The time zone of this machine or of TZ, as libc reads it."""

from __future__ import annotations

import os
import re
import struct
from datetime import UTC, tzinfo
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo

from pipeline.base.errors import ConfigError

# A standard time with its offset, and a summer time with rules, such as CET-1CEST,M3.5.0,M10.5.0/3.
_POSIX = re.compile(r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)[+-]?[0-9:]+(?P<summer>[A-Za-z<][^,\s]*)?(?P<rules>,[!-~]+)?")
# Those of libc for a summer time without rules.
_RULES = ",M3.2.0,M11.1.0"
# The head of a zone file of version 2: numbers of its UTC and standard flags, leap seconds, changes, kinds and letters.
_HEAD = struct.Struct(">4sc15x6l")


def local_zone() -> tzinfo:
    """Return the time zone of TZ, else of /etc/localtime, else UTC. Raises `ConfigError` for an unknown TZ.

    TZ has a name such as Europe/Berlin, the path of a file, or the rules themselves in the form of POSIX.
    """
    named = os.environ.get("TZ", "").removeprefix(":")
    path = Path(named if named.startswith("/") else "/etc/localtime")
    try:
        if named and named != str(path):
            return _named_zone(named)
        with path.open("rb") as file:
            return ZoneInfo.from_file(file, key=named or "local time")
    except (OSError, ValueError, KeyError) as error:
        if named:
            raise ConfigError(f"TZ={named} is not a valid time zone", hint="TZ=Europe/Berlin") from error
        return UTC


def _named_zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        match = _POSIX.fullmatch(name)
        if match is None:
            raise
        return _posix_zone(name + _RULES if match["summer"] and not match["rules"] else name)


def _posix_zone(rules: str) -> tzinfo:
    """Return the zone of rules of POSIX. `zoneinfo` reads them only at the end of a file, so this makes one."""
    kind = struct.pack(">lbb", 0, 0, 0) + b"UTC\0"
    file = _HEAD.pack(b"TZif", b"2", *[0] * 6) + _HEAD.pack(b"TZif", b"2", 0, 0, 0, 0, 1, 4) + kind
    return ZoneInfo.from_file(BytesIO(file + f"\n{rules}\n".encode()), key=rules)

"""The line that describes a change of the number of replicas while it is made."""

from __future__ import annotations

import re

_LINE = re.compile(r"(\S+: )?scaling from \d+ to \d+ containers\b")


def describe_renumbering(before: int, after: int, reason: str) -> str:
    """Return the line for a change: `scaling from 2 to 4 containers: average CPU is 90 %`."""
    return f"scaling from {before} to {after} containers{f': {reason}' if reason else ''}"


def is_renumbering(line: str) -> bool:
    """Return whether a line describes such a change, with or without the name of the service."""
    return _LINE.match(line) is not None

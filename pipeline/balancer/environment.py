"""The environment of HAProxy and the processes beside it."""

from __future__ import annotations

import os

_KEPT = ("HOME", "LANG", "PATH", "TMPDIR", "TZ")
_KEPT_PREFIXES = ("LC_", "LD_", "PYTHON")


def child_environment() -> dict[str, str]:
    """Return what these processes need of the current environment, without secrets: they outlive the command."""
    return {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}

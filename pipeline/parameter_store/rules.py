"""What SSM allows as names and values."""

from __future__ import annotations

import re

from pipeline.base.errors import ConfigError

_NAME = re.compile(r"/?[a-zA-Z0-9_.-]+(/[a-zA-Z0-9_.-]+)*")
_MAX_NAME = 2048
_MAX_LEVELS = 15
_MAX_VALUE = {"Standard": 4096, "Advanced": 8192, "Intelligent-Tiering": 8192}


def check_name(name: str) -> None:
    """Raise `ConfigError` for a name that SSM does not allow."""
    if "/" in name and not name.startswith("/"):
        raise ConfigError("Parameter name must be a fully qualified name.", hint=f"write /{name}")
    first = name.removeprefix("/").partition("/")[0].lower()
    for reserved in ("aws", "ssm"):
        if first.startswith(reserved):
            raise ConfigError(f'Parameter name: can\'t be prefixed with "{reserved}" (case-insensitive): {name}')
    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME:
        raise ConfigError(
            f"Parameter name {name!r} must consist of letters, numbers and the symbols . - _ between slashes,"
            f" and have at most {_MAX_NAME} characters"
        )
    if name.count("/") > _MAX_LEVELS:
        raise ConfigError(f"Parameter name {name} must have at most {_MAX_LEVELS} levels")


def check_value(value: str, tier: str = "Standard") -> None:
    """Raise `ConfigError` for a value that SSM does not allow. Lengths are in bytes."""
    if not value:
        raise ConfigError("The value of a parameter must not be empty")
    if len(value.encode()) > _MAX_VALUE[tier]:
        raise ConfigError(
            f"{tier} tier parameters support a maximum parameter value of {_MAX_VALUE[tier]} characters.",
            hint=None if tier != "Standard" else "set Tier to Advanced, for 8192 characters",
        )

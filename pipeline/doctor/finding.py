"""A finding of `pipeline doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """The result of a check. A warning does not keep anything from working."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """What a check found. `hint` is what to do, mostly a command to type. It may be empty."""

    check: str
    status: Status
    message: str
    hint: str = ""

    @classmethod
    def ok(cls, check: str, message: str) -> Finding:
        """Return a finding that nothing lacks."""
        return cls(check, Status.OK, message)

    @classmethod
    def warning(cls, check: str, message: str, hint: str = "") -> Finding:
        """Return a finding that something is worse than it could be."""
        return cls(check, Status.WARNING, message, hint)

    @classmethod
    def failed(cls, check: str, message: str, hint: str = "") -> Finding:
        """Return a finding that something does not work."""
        return cls(check, Status.FAILED, message, hint)

"""Every error a user can meet, by whose fault it is; the command line turns each into its exit code.

PenstockError
├── ConfigError        the pipeline.yaml or the command is wrong; nothing was touched          (2)
├── StageFailed        the user's code failed: build, tests, a release that is not healthy     (1)
│   ├── RolledBack     the release failed and the former one serves again                      (4)
│   └── RollbackFailed the release failed, and so did going back                               (5)
├── SystemFault        ours, or of what we stand on                                            (3)
│   ├── EngineFault    Docker
│   │   └── CacheVanished  its build cache was cleared in the middle of a build
│   ├── BalancerFault  HAProxy, its sockets, its ports
│   ├── StoreFault     the database or the disk under it
│   └── LockHeld       somebody else works on this pipeline
└── Cancelled          the user stopped it; not an error, it unwinds the run                 (130)
    └── Superseded     a newer run took its place
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What `pipeline` answers to the shell."""

    SUCCEEDED = 0
    FAILED = 1
    BAD_CONFIGURATION = 2
    SYSTEM_FAULT = 3
    ROLLED_BACK = 4
    ROLLBACK_FAILED = 5
    CANCELLED = 130


class PenstockError(Exception):
    """An error that is meant for the user: `message` says what and where, `hint` what to do about it.

    `tail` holds the last lines of what failed, where it printed any.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.SYSTEM_FAULT

    def __init__(self, message: str, *, hint: str | None = None, tail: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.tail = tail

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def mask(self, mask: Callable[[str], str]) -> None:
        """Put everything that will be shown through `mask`."""
        self.message = mask(self.message)
        self.tail = tuple(map(mask, self.tail))


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong in a configuration file. `line` and `column` count from 1; 0 means the file as a whole."""

    line: int
    column: int
    path: str
    reason: str
    hint: str = ""

    def render(self, source: str) -> str:
        """`file:line:column: key.path: reason. hint`, the form editors can jump to."""
        place = f"{source}:{self.line}:{self.column}" if self.line else source
        path = f" {self.path}:" if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}:{path} {self.reason}{hint}"


class FieldError(ValueError):
    """Raised by a model's check of several keys: `key` is the one that the user should look at."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class ConfigError(PenstockError):
    """The configuration or the command is wrong. Carries every problem found, not only the first."""

    exit_code = ExitCode.BAD_CONFIGURATION

    def __init__(
        self, message: str = "", *, hint: str | None = None, source: str = "", problems: tuple[Problem, ...] = ()
    ) -> None:
        lines = [message] if message else []
        super().__init__("\n".join(lines + [p.render(source) for p in problems]), hint=hint)
        self.source = source
        self.problems = problems


class StageFailed(PenstockError):
    """The user's code failed."""

    exit_code = ExitCode.FAILED


class RolledBack(StageFailed):
    """The new release failed; the former one serves again and no request was given up for it."""

    exit_code = ExitCode.ROLLED_BACK


class RollbackFailed(StageFailed):
    """The new release failed and the way back failed too; it is not tried again by itself."""

    exit_code = ExitCode.ROLLBACK_FAILED


class SystemFault(PenstockError):
    """Something below the user's code failed."""


class EngineFault(SystemFault):
    """The Docker Engine is missing, refused, or went away."""


class CacheVanished(EngineFault):
    """What a build was going to reuse was removed meanwhile, by somebody who makes room. Building again helps."""

    def __init__(self) -> None:
        super().__init__("Docker: an image that the build was going to reuse was removed meanwhile")


class BalancerFault(SystemFault):
    """HAProxy is missing, refused a configuration, or does not answer."""


class StoreFault(SystemFault):
    """The database cannot be read or written."""


class LockHeld(SystemFault):
    """Another process works on this pipeline; the message says which and since when."""


class Cancelled(PenstockError):
    """The user asked to stop. Unwinds the run through its clean-up."""

    exit_code = ExitCode.CANCELLED


class Superseded(Cancelled):
    """A newer run took the place of this one."""

"""Every error that a user can see, grouped by fault domain. The command line maps each to its exit code.

PenstockError
├── ConfigError        pipeline.yaml or the command is invalid; nothing was changed            (2)
├── StageFailed        the user's code failed: build, tests, an unhealthy release              (1)
│   ├── RolledBack     the release failed, and the previous one is active again                (4)
│   ├── RollbackFailed the release failed, and so did the rollback                             (5)
│   └── NetworkVanished  the network of a stopped container was removed
├── SystemFault        Penstock or the system below it failed                                  (3)
│   ├── EngineFault    Docker
│   │   ├── CacheVanished  the build cache was cleared during a build
│   │   ├── LayerMissing  an image was sent without a layer that its new engine lacks
│   │   └── PortTaken  another program listens at a port that a container was to publish
│   ├── BalancerFault  HAProxy, its sockets, its ports
│   ├── StoreFault     the database or the disk under it
│   └── LockHeld       another process works on this pipeline
└── Cancelled          the user cancelled the run; unwinds it, and is not an error           (130)
    └── Superseded     a newer run replaced this one
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Self


class ExitCode(IntEnum):
    """Exit codes of the `pipeline` command."""

    SUCCEEDED = 0
    FAILED = 1
    BAD_CONFIGURATION = 2
    SYSTEM_FAULT = 3
    ROLLED_BACK = 4
    ROLLBACK_FAILED = 5
    CANCELLED = 130


class PenstockError(Exception):
    """An error that is shown to the user.

    `message` states the fault and its place, `hint` the command or key to use. `tail` holds the last lines of output of
    the step that failed, if any.
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
        """Apply `mask` to everything that will be shown."""
        self.message = mask(self.message)
        self.tail = tuple(map(mask, self.tail))


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake in a configuration file. `line` and `column` count from 1. Line 0 is the file as a whole."""

    line: int
    column: int
    path: str
    reason: str
    hint: str = ""

    def render(self, source: str) -> str:
        """Return `file:line:column: key.path: reason (hint)`, the form that editors can jump to."""
        place = f"{source}:{self.line}:{self.column}" if self.line else source
        path = f" {self.path}:" if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}:{path} {self.reason}{hint}"


class FieldError(ValueError):
    """Raised by a model that checks several keys, or several items of a list. `path` leads to the one to report."""

    def __init__(self, key: str | int | tuple[str | int, ...], message: str) -> None:
        super().__init__(message)
        self.path = key if isinstance(key, tuple) else (key,)


class FieldErrors(ValueError):
    """Raised by a model that found several mistakes. `errors` has them in the order of the checks."""

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        super().__init__("; ".join(map(str, errors)))
        self.errors = errors


def refuse(mistakes: Iterable[FieldError]) -> None:
    """Raise all mistakes at once: one as `FieldError`, several as `FieldErrors`."""
    found = tuple(mistakes)
    if len(found) == 1:
        raise found[0]
    if found:
        raise FieldErrors(found)


def field_errors(error: Exception | None) -> tuple[FieldError, ...]:
    """Return the mistakes that a model has raised. Those of another error are none."""
    if isinstance(error, FieldErrors):
        return error.errors
    return (error,) if isinstance(error, FieldError) else ()


class ConfigError(PenstockError):
    """The configuration or the command is invalid. Carries every problem found, not only the first."""

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
    """The new release failed. The previous one is active again, and no request was lost."""

    exit_code = ExitCode.ROLLED_BACK


class RollbackFailed(StageFailed):
    """The new release failed and the rollback failed too. Neither is retried automatically."""

    exit_code = ExitCode.ROLLBACK_FAILED


class NetworkVanished(StageFailed):
    """A network of a container was removed, such as by `docker network prune`. The container cannot start again."""


class SystemFault(PenstockError):
    """Something below the user's code failed."""


class EngineFault(SystemFault):
    """The Docker Engine is missing, refused a request, or disconnected."""

    def on_host(self, host: str) -> Self:
        """Return the same fault, with the name of the host in front. Keeps the class, by which callers tell faults."""
        # `copy` would call the constructor of the class, which may take no message.
        named = type(self).__new__(type(self))
        PenstockError.__init__(named, f"host {host}: {self.message}", hint=self.hint, tail=self.tail)
        return named

    def reason(self, host: str) -> str:
        """Return the message without the name of the host in front, and without its address there."""
        name, separator, rest = self.message.partition(": ")
        return rest if separator and (name == f"host {host}" or name.startswith(f"host {host} (")) else self.message


class CacheVanished(EngineFault):
    """A cached image was removed during the build that used it, such as by a prune. A second build succeeds."""

    def __init__(self) -> None:
        super().__init__("Docker: a cached image was removed during the build")


class HostLost(EngineFault):
    """A host is lost, so what was to be done there is not done, or it may have been: such as the start of a replica."""


class HostSilent(EngineFault):
    """A host has not answered within the time that the caller waits. It may be slow, or not reachable."""


class LayerMissing(EngineFault):
    """An engine refused an image because the archive lacks a layer that the engine lacks too. Nothing was loaded."""


class PortTaken(EngineFault):
    """A container was not started because a port that it publishes is in use on its host."""


class BalancerFault(SystemFault):
    """HAProxy is missing, refused a configuration, or does not respond."""


class StoreFault(SystemFault):
    """The database cannot be read or written."""


class LockHeld(SystemFault):
    """Another process works on this pipeline. The message names it and its start time."""


class Cancelled(PenstockError):
    """The user cancelled the run. Unwinds the run through its clean-up."""

    exit_code = ExitCode.CANCELLED


class Superseded(Cancelled):
    """A newer run replaced this one."""

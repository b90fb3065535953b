"""Secrets: named in the pipeline.yaml, kept elsewhere, and put in at the last moment."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from pathlib import Path

from pipeline.base.errors import ConfigError

REFERENCE = re.compile(r"\$\{secret:([^}]*)\}")
_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)")


class Secrets:
    """The values behind `${secret:NAME}`. Texts hold the reference; the value exists only where it is needed.

    `values` are those that the file names today. A former release may name others: these are looked up when it does.
    """

    def __init__(self, values: Mapping[str, str] | None = None, others: Mapping[str, str] | None = None) -> None:
        self._values = dict(values or {})
        self._others = others or {}
        self._learnt: set[str] = set()

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self._values))})"

    def resolve(self, text: str) -> str:
        """`text` with its secrets put in. Raises `ConfigError` for one that is nowhere."""
        return REFERENCE.sub(lambda match: self._value(match[1]), text)

    def resolve_all(self, texts: Mapping[str, str]) -> dict[str, str]:
        """A container's environment with its secrets put in."""
        return {key: self.resolve(text) for key, text in texts.items()}

    def values(self) -> tuple[str, ...]:
        """Everything that must not be shown."""
        return tuple(sorted({*self._values.values(), *self._learnt}))

    def merge(self, others: Secrets) -> None:
        """What others must not show, these must not show either."""
        self._learnt.update(others.values())

    def _value(self, name: str) -> str:
        if name not in self._values and self._others.get(name):
            self._values[name] = self._others[name]
        if name not in self._values:
            raise ConfigError(
                f"secret {name} is neither in the environment nor in the file of secrets",
                hint=f"export {name}=…, or name a file with it in secrets.file",
            )
        return self._values[name]


def read_secrets(path: Path) -> dict[str, str]:
    """The NAME=value lines of a file that only its owner may read. Raises `ConfigError` otherwise."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise ConfigError(f"{path}, the file of secrets, is no regular file")
        if stat.S_IMODE(mode) & 0o177:
            raise ConfigError(
                f"{path}, the file of secrets, has mode {stat.S_IMODE(mode):04o}: others could read it",
                hint=f"chmod 600 {path}",
            )
        lines = path.read_text().splitlines()
    except OSError as error:
        raise ConfigError(f"cannot read {path}, the file of secrets: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}, the file of secrets, is not UTF-8") from error
    return dict(_parse(path, number, line) for number, line in enumerate(lines, 1) if _counts(line))


def _counts(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _parse(path: Path, number: int, line: str) -> tuple[str, str]:
    match = _LINE.fullmatch(line.strip())
    if match is None:
        # The line is not shown: it may hold a secret.
        raise ConfigError(f"{path}:{number}: not a line of the form NAME=value")
    value = match[2].strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    return match[1], value

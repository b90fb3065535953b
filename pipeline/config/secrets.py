"""Secrets: pipeline.yaml contains their names, and values are resolved on use."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pipeline.base.errors import ConfigError
from pipeline.base.program import ProgramOutput, run_program
from pipeline.config.dotenv import parse_dotenv

REFERENCE = re.compile(r"\$\{secret:([^}]*)\}")
# `${{}` stands for a literal `${` that would otherwise look like a reference.
_TOKEN = re.compile(rf"\$\{{\{{\}}|{REFERENCE.pattern}")
COMMAND_TIMEOUT = 60.0
"""Seconds for the program in `secrets.command`."""
_LITERAL = re.compile(r"\$\{(?=secret:|\{\})")


class Secrets:
    """Values of `${secret:NAME}`. Configuration keeps the reference, and the value is resolved on use.

    `values` are the secrets that the file references. A previous release may reference others, which are resolved from
    `others` on use.
    """

    def __init__(self, values: Mapping[str, str] | None = None, others: Mapping[str, str] | None = None) -> None:
        self._values = dict(values or {})
        # One that reads its values when they are used may have no length.
        self._others: Mapping[str, str] = {} if others is None else others
        self._merged: set[str] = set()

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self._values))})"

    def resolve(self, text: str) -> str:
        """Return `text` with its secrets resolved. Raises `ConfigError` for a missing one."""
        return _TOKEN.sub(lambda match: "${" if match[1] is None else self._value(match[1]), text)

    def resolve_all(self, texts: Mapping[str, str]) -> dict[str, str]:
        """Return an environment with its secrets resolved. Raises `ConfigError` for a missing one."""
        return {key: self.resolve(text) for key, text in texts.items()}

    def values(self) -> tuple[str, ...]:
        """Return every value that must be masked."""
        return tuple(sorted({*self._values.values(), *self._merged}))

    def hide(self, values: Iterable[str]) -> None:
        """Add values that must be masked and that no reference resolves to."""
        self._merged.update(values)

    def merge(self, others: Secrets) -> None:
        """Add the values of `others` to those that must be masked."""
        self._merged.update(others.values())

    def _value(self, name: str) -> str:
        if name not in self._values and self._others.get(name):
            self._values[name] = self._others[name]
        if name not in self._values:
            raise ConfigError(
                f"secret {name} is neither in the environment nor in the secrets file or command",
                hint=f"export {name}=…, or add it to the source in `secrets`",
            )
        return self._values[name]


def escape_references(text: str) -> str:
    """Escape a text so that `Secrets.resolve` returns it unchanged."""
    return _LITERAL.sub("${{}", text)


def secrets_of_command(command: Sequence[str], directory: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the NAME=value lines that a program prints. They are never on disk. `$` has no meaning in them.

    Raises `ConfigError`, with the end of what the program wrote as its errors, if it fails.
    """
    name = command[0]
    try:
        done = run_program(command, COMMAND_TIMEOUT, environ, directory)
        text = done.stdout.decode("utf-8-sig")
    except TimeoutError as error:
        raise ConfigError(f"{name}: {error}", hint="it must not wait for input") from None
    except OSError as error:
        raise ConfigError(f"cannot run {name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"the output of {name} is not UTF-8") from error
    if done.code:
        # Its output may have secrets.
        said = ProgramOutput(done.code, b"", done.stderr).complaint() or "it wrote no error"
        raise ConfigError(f"{name} failed with exit code {done.code}: {said}")
    if "\0" in text:
        raise ConfigError(f"the output of {name} must not contain a null character, which no variable can hold")
    return parse_dotenv(text, None, f"output of {name}")


def read_secrets(path: Path, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the NAME=value lines of a file, in which `$NAME` means a variable if `environ` is given.

    Raises `ConfigError` if it is invalid or other users may read it.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise ConfigError(f"secrets file {path} must be a regular file")
        if stat.S_IMODE(mode) & 0o177:
            raise ConfigError(
                f"secrets file {path} must have mode 0600, got {stat.S_IMODE(mode):04o}",
                hint=f"chmod 600 {path}",
            )
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"cannot read secrets file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"secrets file {path} is not UTF-8") from error
    if "\0" in text:
        raise ConfigError(f"secrets file {path} must not contain a null character, which no variable can hold")
    return parse_dotenv(text, environ, str(path))

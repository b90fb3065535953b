"""The values of the secrets that a pipeline.yaml uses, from the environment and from its section `secrets`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pipeline.base.errors import ConfigError, Problem
from pipeline.config.document import Document, KeyPath
from pipeline.config.secrets import Secrets, read_secrets, secrets_of_command
from pipeline.config.substitution import Substitution
from pipeline.config.used_secret import Origin, UsedSecret


def values_in_source(
    document: Document, section: object, path: Path, environ: Mapping[str, str], *, needed: bool
) -> tuple[dict[str, str] | None, list[Problem]]:
    """Return the content of `secrets.file`, or what `secrets.command` prints, None without both, and its problem.

    The command runs only if the values are needed.
    """
    if not isinstance(section, dict):
        return None, []
    file, command = section.get("file"), section.get("command")
    if command and file is None:
        return _secrets_of_command(document, command, path.absolute().parent, environ, needed=needed)
    if not isinstance(file, str):
        return None, []
    try:
        place = path.absolute().parent / Path(file).expanduser()
        # Where the values are not needed, as in CI, the file need not be there either.
        return read_secrets(place, environ) if needed or os.access(place, os.R_OK) else {}, []
    except ConfigError as error:
        return {}, [document.problem(("secrets", "file"), error.message, error.hint or "")]
    except RuntimeError as error:
        # `expanduser` found no user of that name.
        return {}, [document.problem(("secrets", "file"), str(error))]


def _secrets_of_command(
    document: Document, command: object, directory: Path, environ: Mapping[str, str], *, needed: bool
) -> tuple[dict[str, str], list[Problem]]:
    if not needed or not isinstance(command, list | tuple) or not all(isinstance(word, str) for word in command):
        return {}, []
    try:
        return secrets_of_command(command, directory, environ), []
    except ConfigError as error:
        return {}, [document.problem(("secrets", "command"), error.message, error.hint or "")]


def secrets_of(
    document: Document,
    kept: Mapping[str, str] | None,
    section: object,
    named: Mapping[str, KeyPath],
    environ: Mapping[str, str],
) -> tuple[Secrets, list[Problem]]:
    """Return the secrets of the environment and of the section `secrets`, and the missing ones."""
    values = {name: environ.get(name) or (kept or {}).get(name) for name in named}
    source = f"secrets.{_source(section)}"
    places = "not in the environment" if kept is None else f"neither in the environment nor in {source}"
    other = "name a file with it in secrets.file" if kept is None else f"add it to {source}"
    missing = [
        document.problem(named[name], f"secret {name} is {places}", f"export {name}=…, or {other}")
        for name, value in values.items()
        if value is None
    ]
    return Secrets({n: v for n, v in values.items() if v is not None}, {**(kept or {}), **environ}), missing


def _source(section: object) -> Literal["file", "command"]:
    return "command" if isinstance(section, dict) and section.get("command") else "file"


def used_secrets(
    document: Document,
    substitution: Substitution,
    kept: Mapping[str, str] | None,
    section: object,
    environ: Mapping[str, str],
) -> tuple[UsedSecret, ...]:
    """Return the secrets that may be used, each with its lines in the file and the source of its value."""

    def origin(name: str) -> Origin:
        return "environment" if environ.get(name) else _source(section) if name in (kept or {}) else "missing"

    uses = {name: {document.place(path)[0] for path in substitution.uses[name]} for name in substitution.secrets}
    return tuple(UsedSecret(name, tuple(sorted(lines)), origin(name)) for name, lines in sorted(uses.items()))

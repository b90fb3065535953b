"""The variables of `env_file`. They join those of `environment` when pipeline.yaml is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipeline.base.errors import ConfigError, Problem
from pipeline.base.files import FileStamp, file_stamp
from pipeline.config.document import Document, KeyPath
from pipeline.config.dotenv import parse_dotenv
from pipeline.config.env_file import EnvFile, EnvFiles
from pipeline.config.environment import environments
from pipeline.config.run_variables import escape, is_place
from pipeline.config.secrets import escape_references
from pipeline.config.substitution import Substitution

ReadFile = Callable[[str], bytes | None]
"""Returns the content of a file by its path relative to pipeline.yaml, None if it is missing. Raises `ConfigError`."""

_FORMS: TypeAdapter[tuple[EnvFile, ...]] = TypeAdapter(EnvFiles)
_MAX_SIZE = 2**20
_ELSEWHERE = "values that stay out of the repository belong in secrets.file, with `secrets: all`"


@dataclass(frozen=True)
class FilesOf:
    """Where environment files come from: `place` names it in errors, `kept` says how a file gets there.

    `stamps` has the files of a directory that were looked for, each with its stamp when it was opened, None if it was
    missing.
    """

    read: ReadFile
    place: str
    kept: str
    stamps: dict[Path, FileStamp | None] = field(default_factory=dict)


def files_in(directory: Path) -> FilesOf:
    """Return the files of a directory."""
    stamps: dict[Path, FileStamp | None] = {}

    def read(path: str) -> bytes | None:
        file = directory / path
        # Taken first, so that a change during the reading is seen later.
        stamps[file] = file_stamp(file)
        try:
            if file.exists() and not file.is_file():
                raise ConfigError(f"{path} must be a regular file")
            with file.open("rb") as opened:
                return opened.read(_MAX_SIZE + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from error

    return FilesOf(read, str(directory), "create it", stamps)


def files_of_commit(read: ReadFile | None, name: str) -> FilesOf:
    """Return the files beside a commit's pipeline.yaml, whose name is such as `3f9a1c2:pipeline.yaml`.

    The pipeline of a stack has no files.
    """
    if read is None:
        return FilesOf(lambda _: None, "the pipeline of a stack", "write the variables into environment")
    return FilesOf(read, f"commit {name.partition(':')[0]}", "commit it")


def add_env_files(
    document: Document, data: dict[str, Any], substitution: Substitution, files: FilesOf
) -> list[Problem]:
    """Add the variables of every `env_file` to the `environment` beside it, which goes before them. Changes `data`.

    Returns the mistakes. An `env_file` of a wrong form stays for the validation of the models.
    """
    problems: list[Problem] = []
    for path, parent, key in environments(data):
        if path[-3:-2] == ("hooks",) and "command" not in parent:
            continue  # The model of the hook refuses it.
        try:
            listed = _FORMS.validate_python(parent.get("env_file") or ())
        except ValidationError:
            continue
        parent.pop("env_file", None)
        found: dict[str, str] = {}
        here = (*path, "env_file")
        for index, file in enumerate(listed):
            place = (*here, index) if (*here, index) in document.values else here
            try:
                found |= _variables(file, place, substitution, files)
            except ConfigError as error:
                problems.append(document.problem(place, error.message, error.hint or ""))
        own = parent.get(key, {})
        if found and isinstance(own, dict):
            parent[key] = {**found, **own}
    return problems


def _variables(file: EnvFile, place: KeyPath, substitution: Substitution, files: FilesOf) -> dict[str, str]:
    content = files.read(file.path)
    if content is None and file.required:
        raise ConfigError(f"{file.path} is missing in {files.place}", hint=f"{files.kept}; {_ELSEWHERE}")
    if content is None:
        return {}
    if len(content) > _MAX_SIZE:
        raise ConfigError(f"{file.path} must be at most {_MAX_SIZE >> 20} MiB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{file.path}:{line}: is not UTF-8", hint="save the file as UTF-8") from None
    if "\0" in text:
        raise ConfigError(f"{file.path} must not contain a null character, which no variable can hold")
    variables = _Variables(substitution)
    try:
        values = parse_dotenv(text, variables, file.path, lambda name: substitution.variable(name, place))
    except ConfigError as error:
        raise ConfigError(error.message, hint=substitution.hint if variables.is_short else "") from None
    # What looks like a reference in the file is text.
    escaped = escape if is_place((*place[: place.index("env_file")], "environment")) else escape_references
    return {name: escaped(value) for name, value in values.items()}


class _Variables(Mapping[str, str]):
    """The environment variables that pipeline.yaml may read. `is_short` once one was not found."""

    def __init__(self, substitution: Substitution) -> None:
        self._substitution = substitution
        self.is_short = False

    def __getitem__(self, name: str) -> str:
        value = self._substitution.readable_variable(name)
        if value is None:
            self.is_short = True
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

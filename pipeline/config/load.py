"""Loading of a pipeline.yaml: a configuration, or one error with every mistake in the file."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from pipeline.base.errors import ConfigError, Problem
from pipeline.base.files import FileStamp
from pipeline.base.remote_url import RemoteUrl
from pipeline.config.document import Document, KeyPath, dotted, read_document
from pipeline.config.empty_values import complete_empty_values
from pipeline.config.env_files import FilesOf, ReadFile, add_env_files, files_in, files_of_commit
from pipeline.config.environment import complete_environments
from pipeline.config.models import Parameter, Pipeline, SecretSource
from pipeline.config.parameters import Scalar, resolve_parameters
from pipeline.config.references import check_references
from pipeline.config.secret_values import secrets_of, used_secrets, values_in_source
from pipeline.config.secrets import Secrets
from pipeline.config.service_secrets import add_secrets
from pipeline.config.stages import check_stages
from pipeline.config.substitution import Substitution
from pipeline.config.used_secret import UsedSecret
from pipeline.config.validation import problems_of

if TYPE_CHECKING:
    from pipeline.config.policy import Readable

# Keys of `balancer` that name files.
_FILES = ("certificate", "private_key", "trust_store", "jwks")
_PARAMETER = TypeAdapter(Parameter)


@dataclass(frozen=True)
class Configuration:
    """A loaded pipeline.yaml with its parameters and secrets. `pipeline` contains secrets by name only.

    `variables` are the environment variables that it reads, `used_secrets` the secrets that it uses. `env_files` are
    the files in its directory from which it has variables, each with its stamp, None if it was missing.
    """

    pipeline: Pipeline
    path: Path
    parameters: Mapping[str, Scalar]
    secrets: Secrets
    variables: frozenset[str] = frozenset()
    used_secrets: tuple[UsedSecret, ...] = ()
    env_files: Mapping[Path, FileStamp | None] = field(default_factory=dict)

    @property
    def secret_names(self) -> frozenset[str]:
        """The names of the secrets that it uses."""
        return frozenset(used.name for used in self.used_secrets)

    @property
    def directory(self) -> Path:
        """The base of relative paths in the file."""
        return self.path.absolute().parent


@dataclass(frozen=True)
class CommittedFile:
    """The pipeline.yaml of a commit. Errors show `name` as the file. Its `secrets.file` is ignored.

    `read` returns another file of the commit by its path relative to this one, or None if it is missing. Links are
    followed in the repository. It raises `ConfigError` for a path out of the repository.
    """

    name: str
    content: bytes
    read: ReadFile | None = None


def load(
    path: Path,
    overrides: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    secrets_needed: bool = True,
    secrets_checked: bool = False,
    missing_allowed: bool = False,
    committed: CommittedFile | None = None,
    readable: Readable | None = None,
    secrets_file: SecretSource | None = None,
) -> Configuration:
    """Load the file at `path`. `overrides` are the `-p name=value` of the command line.

    With `committed`, loads its content as if it were at `path`, with the secrets in `secrets_file`. Raises
    `ConfigError` with every problem of the file, in the order of its lines. Without `secrets_needed`, a missing secret
    is an error only when it is used. With `secrets_checked`, an existing secrets file is still checked. With
    `missing_allowed`, values that are needed may be missing. `readable` limits the environment variables and secrets
    that the file may read; None allows all.
    """
    environ = os.environ if environ is None else environ
    named, content = (Path(committed.name), committed.content) if committed else (path, None)
    document = read_document(named, content)
    variables: set[str] = set()
    parameters, problems = _parameters(document, overrides or {}, environ, readable, variables)
    substitution = Substitution(document, parameters, environ, readable)
    data = _substituted(document, substitution, path.absolute().parent)
    section = _secret_source(data, committed, secrets_file)
    kept, unread = values_in_source(document, section, path, environ, needed=secrets_needed)
    files = files_of_commit(committed.read, committed.name) if committed else files_in(path.absolute().parent)
    problems += _complete(document, data, substitution, kept, files)
    pipeline, invalid = _validated(document, data, substitution.broken)
    secrets, missing = secrets_of(document, kept, section, substitution.secrets_within(kept or {}), environ)
    problems += [*invalid, *document.problems, *substitution.problems, *check_references(document, data)]
    # Without the file, every value in it would be reported as missing.
    unknown = unread or ([] if missing_allowed or not secrets_needed else missing)
    problems += unknown if secrets_needed or secrets_checked else []
    if problems or pipeline is None:
        raise ConfigError(source=str(named), problems=_in_order(problems))
    secrets.hide(RemoteUrl.secrets_in(pipeline.source.repository))
    known = {name: value for name, value in parameters.items() if value is not None}
    used = used_secrets(document, substitution, kept, section, environ)
    read = frozenset(variables | substitution.variables)
    return Configuration(pipeline, path, known, secrets, read, used, files.stamps)


def _secret_source(data: dict[str, Any], committed: CommittedFile | None, served: SecretSource | None) -> Any:
    """Return the section `secrets`, for a commit that of the served file: it must not choose whose secrets it gets."""
    if committed is None:
        return data.get("secrets")
    return served.model_dump() if served else None


def _substituted(document: Document, substitution: Substitution, directory: Path) -> dict[str, Any]:
    """Return the file's data with references resolved. `parameters` are resolved already."""
    data = {
        key: value if key == "parameters" else substitution.apply(value, (key,)) for key, value in document.data.items()
    }
    make_absolute(data.get("balancer"), directory)
    return data


def _complete(
    document: Document,
    data: dict[str, Any],
    substitution: Substitution,
    kept: Mapping[str, str] | None,
    files: FilesOf,
) -> list[Problem]:
    """Complete the environments with what the shell, secrets and files give. Returns the mistakes."""
    complete_empty_values(document, data)
    problems = complete_environments(document, data, substitution.inherited)
    problems += add_secrets(document, data, substitution, kept)
    return problems + add_env_files(document, data, substitution, files)


def _validated(
    document: Document, data: dict[str, Any], broken: Collection[KeyPath]
) -> tuple[Pipeline | None, list[Problem]]:
    """Return the pipeline, or None if it is invalid, and the problems.

    A failed substitution leaves a placeholder at a `broken` path. Errors about it would mislead the user.
    """
    pipeline, problems = None, [*check_stages(document, data)]
    try:
        pipeline = Pipeline.model_validate(data)
    except ValidationError as error:
        problems = [*problems_of(error, document, Pipeline), *problems]
    misleading = {dotted(path) for path in broken}
    return pipeline, [problem for problem in problems if problem.path not in misleading]


def make_absolute(node: Any, directory: Path) -> None:
    """Make the paths of the balancer's files absolute, since the balancer does not know the file's directory."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if key in _FILES and isinstance(value, str) and not value.startswith("https://"):
            node[key] = str(directory / value)
        else:
            make_absolute(value, directory)


def _in_order(problems: list[Problem]) -> tuple[Problem, ...]:
    """Sort by line, and keep the first problem of each key, since the others follow from it."""
    first: dict[tuple[int, int, str], Problem] = {}
    for problem in problems:
        first.setdefault((problem.line, problem.column, problem.path), problem)
    return tuple(sorted(first.values()))


def _parameters(
    document: Document,
    overrides: Mapping[str, str],
    environ: Mapping[str, str],
    readable: Readable | None,
    variables: set[str],
) -> tuple[dict[str, Scalar | None], list[Problem]]:
    raw = document.data.get("parameters", {})
    if not isinstance(raw, dict):
        return {}, []
    # Parameters may use environment variables, but not other parameters.
    substitution = Substitution(document, {}, environ, readable)
    substituted = substitution.apply(raw, ("parameters",))
    document.data["parameters"] = substituted
    variables |= substitution.variables
    declared = {}
    for name, value in substituted.items():
        try:
            declared[name] = _PARAMETER.validate_python(value)
        except ValidationError:
            continue  # The validation of the whole file reports it later.
    values, problems = resolve_parameters(document, declared, overrides)
    # A parameter without a value was reported once. Its uses are not reported again.
    return {**dict.fromkeys(substituted), **values}, [*substitution.problems, *problems]

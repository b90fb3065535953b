"""The file of the policy of a pipeline."""

from __future__ import annotations

import stat
from pathlib import Path

from pydantic import ValidationError

from pipeline.base.errors import ConfigError, Problem
from pipeline.config.document import read_document
from pipeline.config.policy import Policy
from pipeline.config.validation import problems_of


def read_policy(path: Path) -> Policy:
    """Return the policy in a file, or one without limits if there is none. Raises `ConfigError`."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return Policy()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    if mode & 0o022:
        raise ConfigError(f"{path} must be writable only by its owner, got mode {mode:04o}", hint=f"chmod go-w {path}")
    if not _has_content(path):
        return Policy()
    document = read_document(path)
    try:
        policy = Policy.model_validate(document.data)
    except ValidationError as error:
        problems: tuple[Problem, ...] = (*document.problems, *problems_of(error, document, Policy))
        raise ConfigError(source=str(path), problems=problems) from None
    if document.problems:
        raise ConfigError(source=str(path), problems=tuple(document.problems))
    return policy


def _has_content(path: Path) -> bool:
    lines = (line.strip() for line in path.read_text(errors="replace").splitlines())
    return any(line and not line.startswith("#") for line in lines)

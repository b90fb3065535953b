"""Secrets that a service gets as variables: the key `secrets` of `deploy` and of its services."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)

from pipeline.base.errors import FieldError, Problem
from pipeline.config.document import Document, KeyPath
from pipeline.config.environment import VariableName, environments
from pipeline.config.substitution import Substitution

SECRETS = (
    "Secrets that are variables of the same name: a list of names, or `all` for each name in the source in `secrets` "
    "of this file. A secret replaces a variable of `env_file`, and `environment` one of these."
)
"""The description of `secrets`."""


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise FieldError(index, f"{name} is listed twice")
    return names


def _form(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    if value == "all":
        return value
    if not isinstance(value, list | tuple):
        raise ValueError("must be all or a list of names")  # pydantic reports a ValueError only
    return handler(value)


# `all` stays a text. A loaded pipeline.yaml has neither: `add_secrets` has replaced the key by variables.
ServiceSecrets = Annotated[
    tuple[VariableName, ...],
    AfterValidator(_distinct),
    WrapValidator(_form),
    WithJsonSchema({"anyOf": [{"const": "all"}, {"type": "array", "items": {"type": "string"}}]}),
]
_FORM: TypeAdapter[Any] = TypeAdapter(ServiceSecrets)


def add_secrets(
    document: Document, data: dict[str, Any], substitution: Substitution, kept: Iterable[str] | None
) -> list[Problem]:
    """Add the variables of every `secrets` to the `environment` beside it. Changes `data`. Returns the mistakes.

    `kept` are the names in the source of secrets, None without a source. A `secrets` of a wrong form stays for the
    validation of the models.
    """
    problems = []
    for path, parent, key in environments(data):
        if not _has_secrets(path) or "secrets" not in parent:
            continue
        try:
            wanted = _FORM.validate_python(parent["secrets"])
        except ValidationError:
            continue
        del parent["secrets"]
        here = (*path, "secrets")
        if wanted == "all" and kept is None:
            reason = "all requires the section secrets, with a file or a command"
            problems.append(document.problem(here, reason, "add it, or list the names of the secrets"))
        places = dict.fromkeys(kept or (), here) if wanted == "all" else _places(here, wanted)
        if not isinstance(own := parent.get(key, {}), dict):
            continue
        added = {name: substitution.add_secret(name, at) for name, at in places.items() if name not in own}
        if added:
            parent[key] = {**added, **own}
    return problems


def _has_secrets(path: KeyPath) -> bool:
    """Return whether the section at `path` has the key: it is that of a container that serves."""
    return path[0] in ("deploy", "accessories") and "hooks" not in path and path[-1] != "release_command"


def _places(here: KeyPath, names: tuple[str, ...]) -> dict[str, KeyPath]:
    return {name: (*here, index) for index, name in enumerate(names)}

"""The secrets of tasks: parameters of SSM, which are read when tasks are started."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pipeline.base.errors import ConfigError
from pipeline.parameter_store.store import ParameterStore

_ARN = re.compile(r"arn:[a-z-]+:ssm:[^:]*:[^:]*:parameter/(.+)")


def parameter_names(value_from: str) -> tuple[str, ...]:
    """Return the names of a parameter that a name or an ARN may mean. Empty for an ARN of something else.

    The ARN of a name without levels is the same with and without its first slash.
    """
    if not value_from.startswith("arn:"):
        return (value_from,)
    found = _ARN.fullmatch(value_from)
    if found is None:
        return ()
    return (f"/{found[1]}",) if "/" in found[1] else (found[1], f"/{found[1]}")


class TaskSecrets(Mapping[str, str]):
    """The values of an owner's parameters, by the names or ARNs in `ValueFrom`. They are read at each use."""

    def __init__(self, store: ParameterStore, owner: str) -> None:
        self._store = store
        self._owner = owner

    def __getitem__(self, value_from: str) -> str:
        """Return the value. Raises `ConfigError` in ECS's words if there is no such parameter."""
        for name in parameter_names(value_from):
            try:
                return self._store.version(self._owner, name).value
            except KeyError:
                continue
        raise ConfigError(
            "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secrets from "
            f"ssm: invalid ssm parameters: {value_from}"
        )

    def __iter__(self) -> Iterator[str]:
        """Yield nothing: what is not asked for by name is no secret of a task."""
        return iter(())

    def __len__(self) -> int:
        """Return 0."""
        return 0

"""Variables of a run in the settings of a service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.config.run_variables import RunVariables, escape, fits
from pipeline.config.service import ServiceSettings

_Change = Callable[[str, str], str]


def with_variables(settings: ServiceSettings, variables: RunVariables) -> ServiceSettings:
    """Return the settings with the known variables replaced by their values. What looks like a secret stays text."""
    return _changed(settings, lambda _, text: variables.fill(text, escape))


def with_values_of(settings: ServiceSettings, stored: ServiceSettings) -> ServiceSettings:
    """Return the settings with the values that their variables have in stored ones, as far as they fit."""
    values = stored.environment
    found = _changed(settings, lambda name, text: values[name] if fits(text, values.get(name, "")) else text)
    command, other = found.release_command, stored.release_command
    if command is None or other is None:
        return found
    own = {name: other.environment.get(name, "") for name in command.environment}
    environment = {name: own[name] if fits(text, own[name]) else text for name, text in command.environment.items()}
    return found.model_copy(update={"release_command": command.model_copy(update={"environment": environment})})


def _changed(settings: ServiceSettings, change: _Change) -> ServiceSettings:
    updates: dict[str, Any] = {"environment": _each(settings.environment, change)}
    if command := settings.release_command:
        updates["release_command"] = command.model_copy(update={"environment": _each(command.environment, change)})
    return settings.model_copy(update=updates)


def _each(texts: Mapping[str, str], change: _Change) -> dict[str, str]:
    return {name: change(name, text) for name, text in texts.items()}

"""Variables of a run in the settings of a service: in its environment, its labels and its release command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.config.run_variables import RunVariables, escape, fits
from pipeline.config.service import ServiceSettings
from pipeline.config.steps import ReleaseCommand

_KEYS = ("environment", "labels")


def with_variables(settings: ServiceSettings, variables: RunVariables) -> ServiceSettings:
    """Return the settings with the known variables replaced by their values. What looks like a secret stays text."""

    def filled(texts: Mapping[str, str]) -> dict[str, str]:
        return {name: variables.fill(text, escape) for name, text in texts.items()}

    updates: dict[str, Any] = {key: filled(getattr(settings, key)) for key in _KEYS}
    if command := settings.release_command:
        updates["release_command"] = command.model_copy(update={"environment": filled(command.environment)})
    return settings.model_copy(update=updates)


def with_values_of(settings: ServiceSettings, stored: ServiceSettings) -> ServiceSettings:
    """Return the settings with the values that their variables have in stored ones, as far as they fit."""
    updates: dict[str, Any] = {key: _fitting(getattr(settings, key), getattr(stored, key)) for key in _KEYS}
    if command := settings.release_command:
        updates["release_command"] = _command(command, stored.release_command)
    return settings.model_copy(update=updates)


def _command(command: ReleaseCommand, stored: ReleaseCommand | None) -> ReleaseCommand:
    found = stored.environment if stored else {}
    return command.model_copy(update={"environment": _fitting(command.environment, found)})


def _fitting(texts: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    return {name: values[name] if fits(text, values.get(name, "")) else text for name, text in texts.items()}

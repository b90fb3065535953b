"""Values of NoEcho parameters, which are never shown."""

from __future__ import annotations

from typing import Any

from pipeline.stacks.records import Goal

MASK = "****"


def masked(goal: Goal, value: Any) -> Any:
    """Return JSON in which the values of the goal's NoEcho parameters are masked, also inside of longer text."""
    given = [values.get(name, "") for name in goal.no_echo for values in (goal.parameters, goal.resolved)]
    secrets = [value for value in given if value]
    return _masked(value, sorted(secrets, key=len, reverse=True)) if secrets else value


def _masked(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, dict):
        return {key: _masked(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item, secrets) for item in value]
    if value is None or isinstance(value, bool):
        return value
    text = str(value)
    for secret in secrets:
        text = text.replace(secret, MASK)
    return value if text == str(value) else text

"""The deployment circuit breaker of a service, as ECS's API and templates write it."""

from __future__ import annotations

from typing import Any

from pipeline.base.errors import ConfigError

_PERCENT = 50


def threshold(*, enable: bool, kind: str | None = None, value: int | None = None) -> int | str | None:
    """Return the tasks that may fail in a deployment: a number, a percentage, or None if they are not counted.

    `kind` and `value` are those of ThresholdConfiguration. Raises `ConfigError` for what is not supported.
    """
    if not enable:
        return None
    kind, value = kind or "BOUNDED_PERCENT", _PERCENT if value is None else value
    if value < 1:
        raise ConfigError(f"ThresholdConfiguration: Value must be at least 1, got {value}")
    if kind == "COUNT":
        return value
    if kind == "BOUNDED_PERCENT":
        return f"{value}%"
    raise ConfigError(f"ThresholdConfiguration: Type must be BOUNDED_PERCENT or COUNT here, got {kind}")


def shape(stored: int | str | None) -> dict[str, Any]:
    """Return the circuit breaker as ECS's API shows it. A deployment that fails is always rolled back here."""
    found: dict[str, Any] = {"enable": True, "rollback": True}
    if stored is not None:
        kind = "COUNT" if isinstance(stored, int) else "BOUNDED_PERCENT"
        found["resetOnHealthyTask"] = False
        found["thresholdConfiguration"] = {"type": kind, "value": int(str(stored).removesuffix("%"))}
    return found

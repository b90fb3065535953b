"""Attributes in AWS's shape, keys and values as text, from and to the models of attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError

from pipeline.aws.errors import AwsError
from pipeline.balancer.elbv2.api import refusal
from pipeline.balancer.model.attributes import Attributes

Pairs = Sequence[Mapping[str, str]]
_A = TypeVar("_A", bound=Attributes)
_SWITCHES = {"true": True, "false": False}


@dataclass(frozen=True)
class AttributeTable:
    """The attributes of a noun, such as `Load balancer`.

    `keys`: those that work, in AWS's words. `idle`: keys that mean nothing on this machine, each with its only value
    and the reason. `empty`: keys that AWS reports as an empty text if they are not set.
    """

    noun: str
    keys: frozenset[str]
    idle: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    empty: frozenset[str] = frozenset()

    def parse(self, given: Pairs) -> dict[str, str]:
        """Return the values of the keys that work. Raises `AwsError` for another key, or an idle one with a value."""
        found: dict[str, str] = {}
        for pair in given:
            key, value = pair.get("Key", ""), pair.get("Value", "")
            if key in found:
                raise AwsError("ValidationError", f"{self.noun} attribute key '{key}' is given more than once")
            if key in self.idle:
                self._check_idle(key, value)
            elif key in self.keys:
                found[key] = value
            else:
                raise AwsError("ValidationError", f"{self.noun} attribute key '{key}' is not recognized")
        return found

    def _check_idle(self, key: str, value: str) -> None:
        only, reason = self.idle[key]
        if value.lower() != only:
            raise AwsError(
                "InvalidConfigurationRequest",
                f"{self.noun} attribute key '{key}' is not supported with value '{value}', only '{only}': {reason}",
            )

    def shown(self, attributes: Attributes, other: Mapping[str, str | None] | None = None) -> list[dict[str, str]]:
        """Return all attributes in AWS's shape. `other`: values that the model does not have, or not as AWS does."""
        values = {key: text(value) for key, value in attributes.model_dump(by_alias=True).items()}
        values |= {key: only for key, (only, _) in self.idle.items()} | dict(other or {})
        values |= {key: "" for key in self.empty if values.get(key) is None}
        known = self.keys | self.idle.keys()
        return [
            {"Key": key, "Value": value} for key, value in sorted(values.items()) if key in known and value is not None
        ]


def text(value: object) -> str | None:
    """Return a value as AWS writes it, or None."""
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def changed(known: _A, values: Mapping[str, str]) -> _A:
    """Return attributes with the values of some keys replaced. Raises `InvalidConfigurationRequest`."""
    given = known.model_dump(by_alias=True, exclude_unset=True)
    given |= {key: _parsed(known, key, value) for key, value in values.items()}
    try:
        return type(known).model_validate({key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        raise refusal(error, "InvalidConfigurationRequest") from error


def _parsed(known: Attributes, key: str, value: str) -> Any:
    default = known.model_dump(by_alias=True)[key]
    if value == "":
        return None
    if isinstance(default, bool) or key.endswith(".enabled"):
        # A target group's `load_balancing.cross_zone.enabled` has a third value.
        return switch(key, value) if value.lower() in _SWITCHES or isinstance(default, bool) else value
    if (isinstance(default, int) or key.endswith((".count", ".percentage"))) and value != "off":
        return number(key, value)
    return value


def switch(key: str, value: str) -> bool:
    """Return a switch. Raises `ValidationError` if it is neither true nor false."""
    if value.lower() not in _SWITCHES:
        raise AwsError("ValidationError", f"'{key}' value '{value}' must be one of [true, false]")
    return _SWITCHES[value.lower()]


def number(key: str, value: str) -> int:
    """Return a whole number. Raises `ValidationError` if it is none."""
    if not (value.isascii() and value.isdigit()):
        raise AwsError("ValidationError", f"'{key}' value '{value}' must be a whole number")
    return int(value)

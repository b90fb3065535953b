"""`deploy.circuit_breaker`: how many new containers may fail before a deployment has failed."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator

from pipeline.base.quantity import Amount, resolve_amount
from pipeline.base.schema import Shorthand

# The bounds of a percentage, as in ECS.
_LEAST, _MOST = 3, 200


class CircuitBreaker(Shorthand):
    """Replaces new containers that exit or do not become healthy, and counts them. Without it, the first one decides.

    May be written as `true`.
    """

    shorthand: ClassVar[str] = "enable"

    enable: bool = Field(True, description="Whether containers are replaced and counted.")
    threshold: Amount = Field(
        "50%",
        description="Failed containers at which the deployment has failed: a number, or a percentage of `replicas`, "
        "rounded up and at least 3 and at most 200, as in ECS.",
    )

    @field_validator("threshold")
    @classmethod
    def _check_threshold(cls, value: int | str) -> int | str:
        if value == 0:
            raise ValueError("must be at least 1: the first failure then decides")
        return value

    def limit(self, replicas: int) -> int | None:
        """Return the number of failures at which the deployment has failed. None if they are not counted."""
        if not self.enable:
            return None
        count = resolve_amount(self.threshold, replicas, round_up=True)
        return count if isinstance(self.threshold, int) else min(max(count, _LEAST), _MOST)

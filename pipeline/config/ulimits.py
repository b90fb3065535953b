"""Resource limits of the processes in a container, in Compose's forms."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from pipeline.balancer.model import Model
from pipeline.base.errors import FieldError
from pipeline.base.quantity import Whole
from pipeline.base.suggestion import nearest

UNLIMITED = -1
_NAMES = frozenset(
    {
        *("core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio"),
        *("rttime", "sigpending", "stack"),
    }
)


def _name(value: str) -> str:
    if value in _NAMES:
        return value
    near = nearest(value, _NAMES)
    raise ValueError(f"{value!r} is not a limit of Docker; write {near or 'one such as nofile'}")


def _both(value: Any) -> Any:
    """Let a number be both limits."""
    return {"soft": value, "hard": value} if isinstance(value, int | float | str) else value


class UlimitRange(Model):
    """A resource limit of each process."""

    soft: Whole = Field(ge=UNLIMITED, le=2**63 - 1, description="Limit in force. A process may raise it up to `hard`.")
    hard: Whole = Field(ge=UNLIMITED, le=2**63 - 1, description="Highest value of `soft`. -1: unlimited.")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.hard != UNLIMITED and (self.soft > self.hard or self.soft == UNLIMITED):
            soft = "unlimited" if self.soft == UNLIMITED else self.soft
            raise FieldError("soft", f"must be at most hard, which is {self.hard}, got {soft}")
        return self


_LIMIT = {"type": "integer", "minimum": UNLIMITED}
_RANGE = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"soft": _LIMIT, "hard": _LIMIT},
    "required": ["soft", "hard"],
}
Ulimits = Annotated[
    dict[Annotated[str, AfterValidator(_name)], Annotated[UlimitRange, BeforeValidator(_both)]],
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"enum": sorted(_NAMES)},
            "additionalProperties": {"anyOf": [_LIMIT, _RANGE]},
        }
    ),
]

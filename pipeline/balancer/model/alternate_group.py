"""The alternate group of a target group, which has the targets of the next release during a deployment."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar, Self

from pydantic import BeforeValidator, Field, model_validator

from pipeline.base.errors import FieldError
from pipeline.base.quantity import Duration, PercentSign
from pipeline.base.schema import Model, Name, Port
from pipeline.base.written import written

PARTS = 1000
"""The parts into which a share divides the requests of a target group: tenths of a percent, as in ECS."""

_TENTH = Decimal("0.1")


def _in_tenths(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be a percentage such as 10 or 0.5, with or without %, got {written(value)}")
    exact = Decimal(str(value))
    # The limits of the field refuse a large number, of which Decimal could not calculate the rest.
    if not exact.is_finite() or (abs(exact) <= PARTS and exact % _TENTH):
        raise ValueError(f"must be a multiple of 0.1, got {value:g}")
    return value


TenthsOfPercent = Annotated[float, BeforeValidator(_in_tenths), PercentSign()]
"""A percentage in steps of 0.1, written as a number, with or without the sign."""


class HeaderMatch(Model):
    """A header with one exact value."""

    example: ClassVar[str] = "{name: X-Release, value: next}"

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,128}$", description="Name of the header, in upper or lower case.")
    value: str = Field(pattern=r"^[A-Za-z0-9._~=:-]{1,128}$", description="The whole value, case-sensitive.")


class TestTraffic(Model):
    """Requests that reach the new release whatever its share. Exactly one of header and port."""

    example: ClassVar[str] = "{port: 8081}, or {header: {name: X-Release, value: next}}"

    header: HeaderMatch | None = Field(
        None, description="Requests with this header, at the listeners of the target group. Not for network ones."
    )
    port: Port | None = Field(
        None, description="Port of a test listener: a copy of the first listener that forwards to the target group."
    )

    @model_validator(mode="after")
    def _check_single(self) -> Self:
        count = (self.header is not None) + (self.port is not None)
        if count != 1:
            raise FieldError("header", f"exactly one of header and port is required, got {count}")
        return self


class AlternateForward(Model):
    """The target group that gets a `share` of the requests of another one, in percent.

    `sticky_for` keeps a client with the group that it was given first. `header`: requests that get the alternate group
    whatever the share.
    """

    target_group: Name
    share: TenthsOfPercent = Field(ge=0, le=100)
    sticky_for: Duration | None = None
    header: HeaderMatch | None = None

    @property
    def parts(self) -> int:
        """The share in tenths of a percent, 0 to 1000."""
        return round(self.share * 10)

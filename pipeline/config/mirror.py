"""`strategy.mirror`: copies of requests that the new release gets before any request of a client."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from pipeline.balancer.model import Model
from pipeline.balancer.model.alternate_group import TenthsOfPercent
from pipeline.base.quantity import Duration, Whole
from pipeline.base.schema import between


def _duration(value: timedelta) -> timedelta:
    return between(value, "1s", "24h", timedelta(seconds=1), timedelta(hours=24))


def _timeout(value: timedelta) -> timedelta:
    return between(value, "100ms", "1m", timedelta(milliseconds=100), timedelta(minutes=1))


class Mirror(Model):
    """Copies of GET and HEAD requests to both releases, whose responses are compared and discarded."""

    example: ClassVar[str] = "{percent: 10, duration: 5m}"

    percent: TenthsOfPercent = Field(
        10.0,
        ge=0.1,
        le=100,
        description="Share of the GET and HEAD requests that is copied: 0.1 to 100, in steps of 0.1.",
    )
    duration: Annotated[Duration, AfterValidator(_duration)] = Field(
        timedelta(minutes=5), description="Time of the copies, before the first step: 1s to 24h."
    )
    max_requests_per_second: Whole = Field(
        20, ge=1, le=1000, description="Requests that are copied in a second at most. Others are left out."
    )
    max_concurrency: Whole = Field(
        8, ge=1, le=64, description="Copied requests whose responses are awaited at the same time at most."
    )
    timeout: Annotated[Duration, AfterValidator(_timeout)] = Field(
        timedelta(seconds=10), description="Time for the response to a copy: 100ms to 1m."
    )

    def describe(self) -> str:
        """Return which requests are copied, for users."""
        return f"{self.percent:g} % of the GET and HEAD requests"

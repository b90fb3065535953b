"""What a load balancer is made of: the nouns of AWS ELB, with its names and meanings, for one machine.

Names and ranges follow the `elbv2` service model; where a default or a range differs, the field says so,
because ELB's timings (30 s between checks, 300 s of draining) are made for another scale.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pipeline.errors import Misfit
from pipeline.quantity import Duration, Whole, format_duration, parse_duration

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?$")]
Port = Annotated[Whole, Field(ge=1, le=65535)]


class Resource(BaseModel):
    """Everything declared is frozen, and refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _between(value: timedelta, low: str, high: str, least: timedelta, most: timedelta) -> timedelta:
    if not least <= value <= most:
        raise ValueError(f"must be between {low} and {high}")
    return value


class HealthCheck(Resource):
    """How the balancer finds out whether a target may have traffic."""

    protocol: Literal["HTTP", "TCP"] = Field("HTTP", description="HTTP asks for a page, TCP only connects.")
    path: str = Field(
        "/",
        pattern=r"^/[!-~]*$",
        max_length=1024,
        description="What to GET, with an HTTP check. The query may be part of it.",
    )
    port: Port | Literal["traffic-port"] = Field(
        "traffic-port", description="Where to check, if not on the port that gets the traffic."
    )
    interval: Duration = Field(
        timedelta(seconds=1),
        description="Time from one check to the next: 100ms to 300s. ELB: 30s, from 5s on. Until its first pass, a "
        "target is asked ten times as often, but not more than every 50ms.",
    )
    timeout: Duration = Field(
        timedelta(milliseconds=800),
        description="No answer by then is a failed check; less than the interval. ELB: 5s.",
    )
    healthy_threshold: Whole = Field(
        2, ge=1, le=10, description="Passes in a row that make a target healthy. ELB: 5, from 2 on."
    )
    unhealthy_threshold: Whole = Field(
        3, ge=1, le=10, description="Failures in a row that make a target unhealthy. ELB: 2."
    )
    matcher: str = Field(
        "200",
        pattern=r"^[1-5]\d\d(-[1-5]\d\d)?(,[1-5]\d\d(-[1-5]\d\d)?)*$",
        description="Status codes that pass an HTTP check: `200`, `200,204` or `200-299`.",
    )

    @field_validator("matcher", mode="before")
    @classmethod
    def _matcher_as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("interval")
    @classmethod
    def _interval_in_range(cls, value: timedelta) -> timedelta:
        return _between(value, "100ms", "300s", timedelta(milliseconds=100), timedelta(seconds=300))

    @field_validator("timeout")
    @classmethod
    def _timeout_in_range(cls, value: timedelta) -> timedelta:
        return _between(value, "50ms", "120s", timedelta(milliseconds=50), timedelta(seconds=120))

    @model_validator(mode="before")
    @classmethod
    def _timeout_follows_interval(cls, data: object) -> object:
        """Someone who only shortens the interval gets a timeout that fits it."""
        if isinstance(data, dict) and "interval" in data and "timeout" not in data:
            try:
                interval = parse_duration(data["interval"])
            except ValueError:
                return data
            fitting = min(timedelta(milliseconds=800), interval * 0.8)
            return {**data, "timeout": max(timedelta(milliseconds=50), fitting)}
        return data

    @model_validator(mode="after")
    def _timeout_under_interval(self) -> Self:
        if self.timeout >= self.interval:
            raise Misfit(
                "timeout",
                f"timeout ({format_duration(self.timeout)}) must be less than "
                f"interval ({format_duration(self.interval)})",
            )
        return self


class TargetGroup(Resource):
    """Targets that serve the same thing, and how they are checked, chosen and let go."""

    protocol: Literal["HTTP"] = Field("HTTP", description="What the targets speak.")
    port: Port = Field(description="The port the targets listen on, inside their containers.")
    health_check: HealthCheck = Field(HealthCheck(), description="When a target may have traffic.")
    deregistration_delay: Duration = Field(
        timedelta(seconds=30),
        description="How long a leaving target may take to finish its requests: 0s to 1h. ELB: 300s.",
    )

    @field_validator("deregistration_delay")
    @classmethod
    def _delay_in_range(cls, value: timedelta) -> timedelta:
        return _between(value, "0s", "1h", timedelta(0), timedelta(hours=1))


class Action(Resource):
    """What a listener does with a request. Rules, redirects and fixed responses come with them."""

    forward: Name = Field(description="The target group that gets the request.")


class Listener(Resource):
    """A port the load balancer answers on."""

    protocol: Literal["HTTP"] = Field("HTTP", description="What clients speak.")
    port: Port = Field(description="The port on this machine.")
    default_action: Action = Field(description="What happens to a request that no rule takes.")


class LoadBalancer(Resource):
    """One entry point: its listeners, and whom it lets in."""

    type: Literal["application"] = Field("application", description="An application load balancer (ALB).")
    scheme: Literal["internet-facing", "internal"] = Field(
        "internet-facing",
        description="internet-facing listens on every address of the machine, internal on 127.0.0.1 only.",
    )
    idle_timeout: Duration = Field(
        timedelta(seconds=60),
        description="A connection on which nothing moves is closed after this long: 1s to 4000s. ELB: 60s.",
    )
    listeners: tuple[Listener, ...] = Field(min_length=1, description="The ports it answers on.")

    @field_validator("idle_timeout")
    @classmethod
    def _idle_in_range(cls, value: timedelta) -> timedelta:
        return _between(value, "1s", "4000s", timedelta(seconds=1), timedelta(seconds=4000))


class Declaration(Resource):
    """Everything one owner wants of the balancer."""

    target_groups: dict[Name, TargetGroup] = Field(min_length=1, description="Target groups, by name.")
    load_balancers: dict[Name, LoadBalancer] = Field(min_length=1, description="Load balancers, by name.")


class Target(Resource):
    """One container that can serve: `id` names it in logs and metrics, unique in its target group."""

    id: str = Field(pattern=r"^[A-Za-z0-9_.:-]{1,100}$")
    address: str
    port: Port


class TargetState(StrEnum):
    """The states of ELB's `DescribeTargetHealth`."""

    INITIAL = "initial"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    DRAINING = "draining"
    UNUSED = "unused"
    UNAVAILABLE = "unavailable"


class TargetHealth(Resource):
    """What the data plane says of a target now, in ELB's words.

    `in_flight` counts requests being served; `state_age` is how long the state holds, to the second;
    `since` is when it was registered or, draining, deregistered.
    """

    target: Target
    state: TargetState
    reason: str = ""
    description: str = ""
    in_flight: int = 0
    state_age: Duration = timedelta(0)
    since: datetime

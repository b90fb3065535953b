"""Targets and their health."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator, Field

from pipeline.base.quantity import Duration
from pipeline.base.schema import Model, Name, Port, ShownStamp


def _address(text: str) -> str:
    try:
        # An IPv6 zone after % is free text, which would reach HAProxy's configuration unchecked.
        usable = "%" not in text and bool(ip_address(text))
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"must be an IP address, got {text!r}")
    return text


class Target(Model):
    """A container that can get requests. `id` names it in logs and metrics and is unique in its target group.

    `zone` None is ELB's `all`: it gets traffic from the nodes of all zones.
    """

    id: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$")
    address: Annotated[str, AfterValidator(_address)]
    port: Port
    zone: Name | None = None


class TargetState(StrEnum):
    """The states of ELB's `DescribeTargetHealth`.

    Except `unavailable`, which ELB uses for functions without a health check. Here every target has one.
    """

    INITIAL = "initial"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    UNHEALTHY_DRAINING = "unhealthy.draining"
    DRAINING = "draining"
    UNUSED = "unused"

    @property
    def is_unhealthy(self) -> bool:
        """True if its checks fail. While it drains, it keeps its connections for a while."""
        return self in (TargetState.UNHEALTHY, TargetState.UNHEALTHY_DRAINING)


class TargetHealth(Model):
    """The health of a target now, in ELB's terms.

    `in_flight` counts open requests, or open connections behind a network load balancer. `state_age` is the age of the
    state, to the second. `since` is the time of its registration or, while draining, of its deregistration.
    """

    target: Target
    state: TargetState
    reason: str = ""
    description: str = ""
    in_flight: int = 0
    state_age: Duration = timedelta(0)
    since: ShownStamp

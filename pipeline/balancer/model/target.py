"""Targets, and how they are."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator, Field

from pipeline.base.quantity import Duration
from pipeline.base.schema import Model, Port


def _address(text: str) -> str:
    try:
        # What may follow a % is free text, and would go to HAProxy as it is.
        usable = "%" not in text and bool(ip_address(text))
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"{text!r} is no IP address")
    return text


class Target(Model):
    """One container that can serve: `id` names it in logs and metrics, unique in its target group."""

    id: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$")
    address: Annotated[str, AfterValidator(_address)]
    port: Port


class TargetState(StrEnum):
    """The states of ELB's `DescribeTargetHealth`.

    But for `unavailable`, which is said of functions that nobody checks: here every target is checked.
    """

    INITIAL = "initial"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    DRAINING = "draining"
    UNUSED = "unused"


class TargetHealth(Model):
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

"""The limits of an account, which creations keep and DescribeAccountLimits reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.balancer.elbv2.api import Api
from pipeline.balancer.elbv2.pages import page


@dataclass(frozen=True)
class Limit:
    """The largest number of a noun, the names under which AWS reports it, and the code of the error above it."""

    most: int
    names: tuple[str, ...]
    code: str
    what: str


@dataclass(frozen=True)
class Limits:
    """AWS's defaults, except for load balancers and the rules of a listener.

    AWS has 50 and 100, and raises them on request. The balancer is measured with a thousand rules.
    """

    load_balancers: Limit = Limit(
        1000,
        ("application-load-balancers", "network-load-balancers", "gateway-load-balancers"),
        "TooManyLoadBalancers",
        "load balancers",
    )
    target_groups: Limit = Limit(
        3000, ("target-groups", "geneve-target-groups"), "TooManyTargetGroups", "target groups"
    )
    listeners: Limit = Limit(
        50,
        ("listeners-per-application-load-balancer", "listeners-per-network-load-balancer"),
        "TooManyListeners",
        "listeners of a load balancer",
    )
    gateway_listeners: Limit = Limit(1, (), "TooManyListeners", "listeners of a gateway load balancer")
    rules: Limit = Limit(1000, ("rules-per-application-load-balancer",), "TooManyRules", "rules of a listener")
    certificates: Limit = Limit(
        25,
        ("certificates-per-application-load-balancer", "certificates-per-network-load-balancer"),
        "TooManyCertificates",
        "certificates of a listener, apart from the default one",
    )
    targets: Limit = Limit(
        1000,
        (
            "targets-per-application-load-balancer",
            "targets-per-network-load-balancer",
            "targets-per-availability-zone-per-gateway-load-balancer",
        ),
        "TooManyTargets",
        "targets of a target group",
    )
    tags: Limit = Limit(50, (), "TooManyTags", "tags of a resource")


LIMITS = Limits()
# What the models themselves limit.
_OF_RULES = {
    "condition-values-per-alb-rule": 5,
    "condition-wildcards-per-alb-rule": 5,
    "target-groups-per-action-on-application-load-balancer": 5,
}


def check_limit(limit: Limit, known: int, more: int = 1) -> None:
    """Raise the error of a limit if `more` on top of `known` exceed it."""
    if known + more > limit.most:
        raise AwsError(limit.code, f"The maximum number of {limit.what} is {limit.most}")


def describe_account_limits(_: Api, call: Call) -> Mapping[str, Any]:
    """DescribeAccountLimits."""
    numbers = {name: limit.most for limit in vars(LIMITS).values() for name in limit.names} | _OF_RULES
    shown, more = page(sorted(numbers.items()), call.parameters, lambda limit: limit[0])
    return {"Limits": [{"Name": name, "Max": str(most)} for name, most in shown], **more}
